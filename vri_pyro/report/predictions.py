"""The report's section on the predictions for the test set: calibration and confusions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scipy.stats import binom

from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.diagnostics.calibration import Calibration, calibration
from vri_pyro.report.confusions import called, likeliest
from vri_pyro.report.figures import matrix, reliability
from vri_pyro.report.part import Fact, Level, Part, Verdict, percent
from vri_pyro.report.seen import SeenRun

_GOOD, _FAIR = 0.05, 0.1  # expected calibration error
_WORTH_SAYING = 0.01  # reduction of the calibration error by temperature scaling that the verdict mentions
_LUCK = 0.025  # significance level of the test for chance level
POINT, SCALED, UNDER_PRIOR = "classifier", "at the fitted temperature", "under the prior p(v | x)"


def calibrations(seen: SeenRun) -> dict[str, Calibration]:
    """Compute the calibration on the test set.

    Args:
        seen: the run.

    Returns:
        the calibration of the classifier, by ``POINT``; with its temperature fitted, by ``SCALED``, if there
        are clean validation examples; and of the predictive distribution under the prior, by ``UNDER_PRIOR``, if
        the method has one.
    """
    logits, labels = seen.test
    predictions = {
        POINT: logits.softmax(-1),
        SCALED: None if seen.temperature is None else (logits / seen.temperature).softmax(-1),
        UNDER_PRIOR: seen.test_under_prior,
    }
    return {name: calibration(p, labels) for name, p in predictions.items() if p is not None}


def as_numbers(found: Calibration) -> dict[str, Any]:
    """Return a calibration as a dictionary for ``summary.json``, without the reliability curve."""
    return {name: value for name, value in found._asdict().items() if name != "reliability"}


def predictions(seen: SeenRun) -> Part:
    """Report calibration and confusions on the test set."""
    found = calibrations(seen)
    facts = [
        Fact(f"{label}, {name}", form.format(getattr(one, metric)))
        for name, one in found.items()
        for metric, label, form in (
            ("ece", "expected calibration error", "{:.3f}"),
            ("brier", "Brier score", "{:.3f}"),
            ("nll", "negative log-likelihood", "{:.3f} nats"),
        )
    ]
    logits, labels = seen.test
    confusion = transition_frequencies(labels.numpy(), logits.argmax(-1).numpy(), len(seen.classes))
    for cell in likeliest(confusion, seen.classes):
        row, column = (called(seen.classes, number) for number in cell)
        count = int((labels == cell[0]).sum())
        facts.append(Fact(f"{row} predicted as {column}", f"{percent(confusion[cell])} of {count}"))
    caption = "Confusion matrix: share of each true class (row) that is predicted as each class (column)."
    drawings = [
        reliability(found),
        matrix(confusion, seen.classes, "true class", "predicted class", caption),
    ]
    headline = [Fact("expected calibration error (ECE)", percent(found[POINT].ece))]
    verdicts = [_verdict(seen, found)]
    about = "Calibration and confusions on the test set."
    return Part("Predictions", about, headline, verdicts, facts, drawings, notes=_notes(found))


def _verdict(seen: SeenRun, found: Mapping[str, Calibration]) -> Verdict:
    """Say whether the classifier is calibrated, or whether it is at chance level."""
    point, (logits, labels) = found[POINT], seen.test
    decided = logits.argmax(-1)
    right, count = int((decided == labels).sum()), len(labels)
    frequencies = [one.bincount(minlength=len(seen.classes)).double() / count for one in (decided, labels)]
    by_chance = float(frequencies[0] @ frequencies[1])  # accuracy of the same decisions in random order
    if right < count and frequencies[1].max() < 1 and binom.sf(right - 1, count, by_chance) > _LUCK:
        return Verdict(
            "poor",
            f"The classifier is at chance level: its accuracy on the {count} test examples is "
            f"{percent(point.accuracy)}, and the same predictions in random order have an expected accuracy of "
            f"{percent(by_chance)}.",
        )
    level: Level = "good" if point.ece <= _GOOD else "fair" if point.ece <= _FAIR else "poor"
    side = "over" if point.confidence > point.accuracy else "under"
    rating = "well calibrated" if level == "good" else f"{side}confident"
    words = (
        f"The classifier is {rating}: its mean confidence is {percent(point.confidence)} and its accuracy is "
        f"{percent(point.accuracy)}. The expected calibration error is {percent(point.ece)} (good up to "
        f"{percent(_GOOD, 0)}, fair up to {percent(_FAIR, 0)})."
    )
    if SCALED in found and point.ece - found[SCALED].ece >= _WORTH_SAYING:
        words += f" Dividing the logits by {seen.temperature:.2f}, the temperature fitted on the validation examples, "
        words += f"reduces it to {percent(found[SCALED].ece)}."
    return Verdict(level, words)


def _notes(found: Mapping[str, Calibration]) -> list[str]:
    """Explain the predictions that only some runs have."""
    notes = []
    if SCALED in found:
        notes.append(
            "The fitted temperature divides the classifier's logits. It maximises the likelihood of the labels of the "
            "validation examples. The verdict mentions it if it reduces the calibration error by at least "
            f"{percent(_WORTH_SAYING, 0)}."
        )
    if UNDER_PRIOR in found:
        notes.append(
            "Under the prior, the model predicts the given label of an example, correct or wrong, without observing "
            "it. Here its predictions are compared with the true labels of the test set. With many wrong labels, these "
            "values are therefore expected to be worse than the classifier's."
        )
    return notes

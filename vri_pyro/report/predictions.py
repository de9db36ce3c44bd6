"""The part of a page about predictions: how far probabilities can be taken at their word, and what is confused."""

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
_WORTH_SAYING = 0.01  # of it, that a temperature mends
_LUCK = 0.025  # the probability by which decisions dealt out at random may be as good
POINT, SCALED, UNDER_PRIOR = "classifier", "at the fitted temperature", "under the prior p(v | x)"


def calibrations(seen: SeenRun) -> dict[str, Calibration]:
    """Calibration on the test set: of the classifier as it is, tempered, and under the prior, as far as they exist."""
    logits, labels = seen.test
    predictions = {
        POINT: logits.softmax(-1),
        SCALED: None if seen.temperature is None else (logits / seen.temperature).softmax(-1),
        UNDER_PRIOR: seen.test_under_prior,
    }
    return {name: calibration(p, labels) for name, p in predictions.items() if p is not None}


def as_numbers(found: Calibration) -> dict[str, Any]:
    """A calibration for ``summary.json``, without the curve."""
    return {name: value for name, value in found._asdict().items() if name != "reliability"}


def predictions(seen: SeenRun) -> Part:
    """Calibration and confusion on the test set."""
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
    for place in likeliest(confusion, seen.classes):
        row, column = (called(seen.classes, number) for number in place)
        count = int((labels == place[0]).sum())
        facts.append(Fact(f"{row} predicted as {column}", f"{percent(confusion[place])} of {count}"))
    drawings = [
        reliability(found),
        matrix(confusion, seen.classes, "class", "predicted", "Which share of a class is predicted as which."),
    ]
    headline = [Fact("calibration error (ECE)", percent(found[POINT].ece))]
    verdicts = [_verdict(seen, found)]
    return Part("Predictions", "On the test set.", headline, verdicts, facts, drawings, notes=_notes(found))


def _verdict(seen: SeenRun, found: Mapping[str, Calibration]) -> Verdict:
    """Whether the classifier's probabilities can be taken at their word, or whether it is at chance."""
    point, (logits, labels) = found[POINT], seen.test
    decided = logits.argmax(-1)
    right, count = int((decided == labels).sum()), len(labels)
    frequencies = [one.bincount(minlength=len(seen.classes)).double() / count for one in (decided, labels)]
    by_chance = float(frequencies[0] @ frequencies[1])  # right of the same decisions, dealt out at random
    if right < count and frequencies[1].max() < 1 and binom.sf(right - 1, count, by_chance) > _LUCK:
        return Verdict(
            "poor",
            f"The classifier is at chance: it is right on {percent(point.accuracy)} of {count} test examples, and the "
            f"same decisions, dealt out at random, would be right on {percent(by_chance)}, give or take luck.",
        )
    level: Level = "good" if point.ece <= _GOOD else "fair" if point.ece <= _FAIR else "poor"
    side = "over" if point.confidence > point.accuracy else "under"
    told = "well calibrated" if level == "good" else f"{side}confident"
    words = (
        f"The classifier is {told}: it gives its decisions {percent(point.confidence)} on average and is "
        f"right on {percent(point.accuracy)}. Expected calibration error {percent(point.ece)} (good up to "
        f"{percent(_GOOD, 0)}, fair up to {percent(_FAIR, 0)})."
    )
    if SCALED in found and point.ece - found[SCALED].ece >= _WORTH_SAYING:
        words += f" Its logits divided by {seen.temperature:.2f}, as the validation examples say, "
        words += f"leave {percent(found[SCALED].ece)}."
    return Verdict(level, words)


def _notes(found: Mapping[str, Calibration]) -> list[str]:
    """What the predictions are that not every run has."""
    notes = []
    if SCALED in found:
        notes.append(
            "The fitted temperature divides the classifier's logits; it is the likeliest one given the labels of the "
            f"validation examples. The verdict mentions it where it lowers the calibration error by at "
            f"least {percent(_WORTH_SAYING, 0)}."
        )
    if UNDER_PRIOR in found:
        notes.append(
            "Under the prior, the model predicts which label an example will be given, right or wrong, before it sees "
            "one. Here that is compared with the true labels of the test set, so where many labels are wrong these "
            "figures are worse than the classifier's, as is to be expected."
        )
    return notes

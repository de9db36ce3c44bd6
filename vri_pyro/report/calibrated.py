"""The report's section on calibration: whether the classifier's confidence equals its accuracy."""

from __future__ import annotations

from typing import Any

from scipy.special import bdtrc
from torch.nn.functional import cross_entropy

from vri_pyro.diagnostics.calibration import Calibration, ece_by_chance
from vri_pyro.report.figures import reliability
from vri_pyro.report.part import CANNOT_TELL, Fact, Level, Part, Tile, Verdict, percent
from vri_pyro.report.seen import POINT, SCALED, UNDER_PRIOR, SeenRun

_GOOD, _FAIR = 0.05, 0.1  # expected calibration error
_ONE_SIDED = 0.8  # share of the calibration error from which a classifier is over- or underconfident throughout
_CLEARLY = 0.02  # smallest reduction of the calibration error by a temperature that the verdict mentions
_ERRORS = 2.0  # standard errors by which the temperature must reduce the loss
_LUCK = 0.025  # significance level of the test for chance level
_NAME, BOTH = "calibration error", "over- and underconfident in different ranges"


def as_numbers(found: Calibration) -> dict[str, Any]:
    """Return a calibration as a dictionary for ``summary.json``, without the reliability curve."""
    return {name: value for name, value in found._asdict().items() if name != "reliability"}


def calibrated(seen: SeenRun) -> Part | None:
    """Report the calibration on the test set, or else on the validation set; None if there is neither."""
    found = seen.calibrations
    if not found:
        return None
    facts = [
        Fact(f"{label}, {name}", form.format(getattr(one, metric)))
        for name, one in found.items()
        for metric, label, form in (
            ("ece", "expected calibration error", "{:.3f}"),
            ("brier", "Brier score", "{:.3f}"),
            ("nll", "negative log-likelihood", "{:.3f} nats"),
        )
    ]
    tile, verdict = _judged(seen)
    about = (
        "Whether the probability that the classifier gives to its prediction equals the share of correct predictions. "
        "The expected calibration error is the mean difference of the two over 15 bins of confidence."
    )
    return Part("Calibration", about, [tile], [verdict], facts=facts, drawings=[reliability(found)], notes=_notes(seen))


def _judged(seen: SeenRun) -> tuple[Tile, Verdict]:
    """Say whether the classifier is calibrated, or why this cannot be told."""
    point = seen.calibrations[POINT]
    if chance := _at_chance(seen):
        return Tile(_NAME, CANNOT_TELL, "the classifier is at chance level"), Verdict("poor", chance)
    count, by_chance = int(point.reliability.counts.sum()), ece_by_chance(point.reliability)
    if _GOOD < point.ece <= by_chance:
        return Tile(_NAME, CANNOT_TELL, f"too few {seen.measured} examples: {count}"), Verdict(
            "note",
            f"Whether the classifier is calibrated cannot be told from {count} {seen.measured} examples: the expected "
            f"calibration error is {percent(point.ece)}, and up to {percent(by_chance)} would be expected of a "
            "calibrated classifier by chance.",
        )
    level: Level = "good" if point.ece <= _GOOD else "fair" if point.ece <= _FAIR else "poor"
    rating = "well calibrated" if level == "good" else side(point)
    words = (
        f"The classifier is {rating}: its mean confidence is {percent(point.confidence)} and its accuracy is "
        f"{percent(point.accuracy)}. The expected calibration error is {percent(point.ece)} (good up to "
        f"{percent(_GOOD, 0)}, fair up to {percent(_FAIR, 0)})."
    )
    if rating == BOTH:
        words += " Over- and underconfidence partly cancel in the mean confidence."
    return Tile(_NAME, percent(point.ece), rating), Verdict(level, words + _advice(seen))


def side(found: Calibration) -> str:
    """Return "overconfident" or "underconfident" if at least 80% of the calibration error, above 0, are; else both.

    The mean confidence is then above or below the accuracy, respectively, as their difference is that of the two parts
    of the calibration error.
    """
    over = found.overconfidence / found.ece
    if over >= _ONE_SIDED:
        return "overconfident"
    return "underconfident" if over <= 1 - _ONE_SIDED else BOTH


def _at_chance(seen: SeenRun) -> str | None:
    """Say that the classifier is no better than its own predictions in random order; None if it is better."""
    assert seen.predicted is not None
    logits, labels = seen.predicted
    decided = logits.argmax(-1)
    right, count = int((decided == labels).sum()), len(labels)
    frequencies = [one.bincount(minlength=len(seen.classes)).double() / count for one in (decided, labels)]
    by_chance = float(frequencies[0] @ frequencies[1])  # accuracy of the same decisions in random order
    # bdtrc(k, n, p) is the probability of more than k successes.
    if right == count or frequencies[1].max() == 1 or bdtrc(right - 1, count, by_chance) <= _LUCK:
        return None
    return (
        f"The classifier is at chance level: its accuracy on the {count} {seen.measured} examples is "
        f"{percent(right / count)}, and the same predictions in random order have an expected accuracy of "
        f"{percent(by_chance)}."
    )


def _advice(seen: SeenRun) -> str:
    """Recommend the fitted temperature if it clearly improves the predictions for the test set.

    It must reduce the calibration error by at least 2 percentage points and the loss by at least two standard errors,
    and change the confidence in the direction of the verdict.
    """
    temperature, found = seen.temperature, seen.calibrations
    if SCALED not in found or temperature is None or seen.predicted is None:
        return ""
    if found[POINT].ece - found[SCALED].ece < _CLEARLY:
        return ""
    if side(found[POINT]) == ("underconfident" if temperature > 1 else "overconfident"):
        return ""
    logits, labels = seen.predicted
    before, after = (cross_entropy(scaled, labels, reduction="none") for scaled in (logits, logits / temperature))
    gain = (before - after).double()
    if gain.mean() < _ERRORS * gain.std() / len(gain) ** 0.5:
        return ""
    return (
        f" Dividing the logits by {temperature:.2f}, the temperature fitted on the validation examples, reduces the "
        f"error to {percent(found[SCALED].ece)} on the test set."
    )


def _notes(seen: SeenRun) -> list[str]:
    """Explain the predictions that only some runs have."""
    notes = []
    if seen.measured != "test":
        notes.append("There is no test set, so the clean validation examples are used.")
    if SCALED in seen.calibrations:
        notes.append(
            "The fitted temperature divides the classifier's logits. It maximises the likelihood of the labels of the "
            "validation examples. The verdict recommends it if, on the test set, it reduces the calibration error by "
            f"at least {100 * _CLEARLY:.0f} percentage points and the loss by at least {_ERRORS:g} standard errors."
        )
    if UNDER_PRIOR in seen.calibrations:
        notes.append(
            "Under the prior, the model predicts the given label of an example, correct or wrong, without observing "
            "it. Here its predictions are compared with the true labels. With many wrong labels, these values are "
            "therefore expected to be worse than the classifier's."
        )
    return notes

"""The part of a page about predictions: how far probabilities can be taken at their word, and what is confused."""

from __future__ import annotations

from typing import Any

from vri_pyro.calibration import Calibration, calibration
from vri_pyro.data.noise.transition import transition_frequencies
from vri_pyro.report.figures import matrix, reliability
from vri_pyro.report.part import Fact, Part, Verdict, percent
from vri_pyro.report.seen import SeenRun

_GOOD, _FAIR = 0.05, 0.1  # expected calibration error
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
    point = found[POINT]
    level = "good" if point.ece <= _GOOD else "fair" if point.ece <= _FAIR else "poor"
    side = "over" if point.confidence > point.accuracy else "under"
    told = "well calibrated" if level == "good" else f"{side}confident"
    words = (
        f"The classifier is {told}: it gives its decisions {percent(point.confidence)} on average and is "
        f"right on {percent(point.accuracy)}. Expected calibration error {percent(point.ece)} (good up to "
        f"{percent(_GOOD, 0)}, fair up to {percent(_FAIR, 0)})."
    )
    if seen.temperature is not None and (scaled := found[SCALED]).ece < point.ece:
        words += f" Its logits divided by {seen.temperature:.2f}, as held-out clean examples say, "
        words += f"leave {percent(scaled.ece)}."
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
    drawings = [
        reliability(found, "Accuracy of predictions by their confidence; on the diagonal, confidence is right."),
        matrix(confusion, seen.classes, "class", "predicted", "Which share of a class is predicted as which."),
    ]
    about = (
        "On the test set. The fitted temperature is the likeliest one given the labels of held-out clean examples. "
        "The predictive under the prior draws v before any label is seen; it predicts the given label."
    )
    headline = [Fact("calibration error (ECE)", percent(point.ece))]
    return Part("Predictions", about, headline, [Verdict(level, words)], facts, drawings)  # type: ignore[arg-type]

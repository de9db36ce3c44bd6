"""Calibrated predictions of the examples, mixed with the predictions of their nearest neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from vri_pyro.diagnostics.calibration import fitted_temperature
from vri_pyro.label_issues.evidence import Evidence, Trusted
from vri_pyro.label_issues.neighbours import mean_over_nearest, smoothed

_OWN = 0.5  # weight of an example's own prediction; its neighbours' have the rest
_MUCH = 0.1  # smallest excess of agreement over accuracy that indicates memorised labels


class Beliefs(NamedTuple):
    """Class probabilities, and measures of their reliability.

    Attributes:
        own: calibrated predictions, [N, K].
        consulted: mixture of each example's own prediction and its neighbours', [N, K].
        held_out: the same mixture for the trusted examples held out of training, [M, K], and their true labels,
            int64 [M]; None if there are no such examples.
        temperature: temperature by which the logits were divided.
        agreement: share of the given labels that equal the classifier's prediction.
        accuracy: the classifier's accuracy on the trusted examples held out of training, and their number; None if
            there are no such examples.
        learned_by_heart: whether the classifier has memorised labels: it agrees with the labels that it was trained on
            clearly more often than it is correct on held-out examples.
    """

    own: Tensor
    consulted: Tensor
    held_out: tuple[Tensor, Tensor] | None
    temperature: float
    agreement: float
    accuracy: tuple[float, int] | None
    learned_by_heart: bool


def beliefs(evidence: Evidence, neighbours: int, own: float | None, seed: int) -> Beliefs:
    """Calibrate the classifier's predictions and mix them with the neighbours'.

    The arguments are described at :func:`~vri_pyro.label_issues.rank`.
    """
    held_out = evidence.trusted and evidence.trusted.only_held_out()
    temperature = fitted_temperature(held_out.logits, held_out.labels) if held_out else 1.0
    agreement = float((evidence.logits.argmax(-1) == evidence.given).double().mean())
    accuracy = _accuracy(held_out) if held_out else None
    learned = evidence.trained_on and accuracy is not None and _agrees_too_often(agreement, *accuracy)
    if own is None:
        own = 0.0 if learned or (evidence.trained_on and accuracy is None) else _OWN
    alone = (evidence.logits.double() / temperature).softmax(-1)
    consulted, consults = alone, own < 1 and neighbours > 0
    if consults:
        consulted = own * alone + (1 - own) * smoothed(alone, evidence.features, neighbours, seed=seed)
    decisions = None
    if held_out:
        theirs = (held_out.logits.double() / temperature).softmax(-1)
        if consults:
            nearest = mean_over_nearest(held_out.features, evidence.features, alone, neighbours)
            theirs = own * theirs + (1 - own) * nearest
        decisions = theirs, held_out.labels
    return Beliefs(alone, consulted, decisions, temperature, agreement, accuracy, learned)


def _accuracy(held_out: Trusted) -> tuple[float, int]:
    right = held_out.logits.argmax(-1) == held_out.labels
    return float(right.double().mean()), held_out.held_out


def _agrees_too_often(agreement: float, right: float, count: int) -> bool:
    likely = (right * count + 1) / (count + 2)  # smoothed, so that the variance is above 0 if all or none are right
    return agreement - right > max(_MUCH, 2 * math.sqrt(likely * (1 - likely) / count))

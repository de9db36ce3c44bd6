"""Calibrated predictions of the examples, mixed with the predictions of their nearest neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from vri_pyro.diagnostics.calibration import fitted_temperature
from vri_pyro.label_issues.evidence import Evidence, Trusted
from vri_pyro.label_issues.following import OwnAndNeighbours, most_followed
from vri_pyro.label_issues.neighbours import mean_over_nearest, smoothed

_OWN = 0.5  # weight of an example's own prediction; its neighbours' have the rest
_MUCH = 0.1  # smallest excess of agreement over accuracy that indicates memorised labels


class Beliefs(NamedTuple):
    """Calibrated predictions of the true classes.

    Attributes:
        own: calibrated predictions, [N, K].
        temperature: temperature by which the logits were divided.
        agreement: share of the given labels that equal the classifier's prediction, without those that were kept out of
            training.
        accuracy: the classifier's accuracy on the trusted examples held out of training, and their number; None if
            there are no such examples.
        learned_by_heart: whether the classifier agrees with labels that it was trained on clearly more often than it is
            correct on held-out examples.
    """

    own: Tensor
    temperature: float
    agreement: float
    accuracy: tuple[float, int] | None
    learned_by_heart: bool


class Consulted(NamedTuple):
    """Predictions of each example that are mixed with its neighbours'.

    Attributes:
        p: the mixtures, [N, K].
        held_out: those of the trusted examples held out of training, [M, K], with their true labels, int64 [M]; None if
            there are no such examples.
        most_followed: upper bound of the share of correct labels that the classifier follows because it was trained on
            them, see :func:`~vri_pyro.label_issues.following.most_followed`; 1 if nothing is known, or if labels were
            kept out of training, so that it is not needed.
    """

    p: Tensor
    held_out: tuple[Tensor, Tensor] | None
    most_followed: float


def beliefs(evidence: Evidence) -> Beliefs:
    """Calibrate the classifier's predictions, and find out whether it has memorised labels."""
    held_out = evidence.trusted and evidence.trusted.only_held_out()
    temperature = fitted_temperature(held_out.logits, held_out.labels) if held_out else 1.0
    agrees = (evidence.logits.argmax(-1) == evidence.given).double()
    agreement = float((agrees if evidence.unseen is None else agrees[~evidence.unseen]).mean())
    accuracy = _accuracy(held_out) if held_out else None
    learned = evidence.trained_on and accuracy is not None and _agrees_too_often(agreement, *accuracy)
    return Beliefs((evidence.logits.double() / temperature).softmax(-1), temperature, agreement, accuracy, learned)


def consulted(evidence: Evidence, believed: Beliefs, neighbours: int, own: float | None, seed: int) -> Consulted:
    """Mix the predictions of each example with its neighbours'.

    Args:
        evidence, neighbours, own, seed: see :func:`~vri_pyro.label_issues.rank`. When ``own`` is None, it is one half,
            or 0 if the classifier has memorised labels, or if nobody knows whether it has.
        believed: the predictions.
    """
    held_out, alone = evidence.trusted and evidence.trusted.only_held_out(), believed.own
    if own is None:
        unknown = evidence.trained_on and believed.accuracy is None
        own = 0.0 if believed.learned_by_heart or unknown else _OWN
    consults = own < 1 and neighbours > 0
    around = smoothed(alone, evidence.features, neighbours, seed=seed) if consults else alone
    mixed = own * alone + (1 - own) * around if consults else alone
    if not held_out:
        return Consulted(mixed, None, 1.0)
    theirs = (held_out.logits.double() / believed.temperature).softmax(-1)
    if not consults:
        return Consulted(mixed, (theirs, held_out.labels), 1.0)
    nearest = mean_over_nearest(held_out.features, evidence.features, alone, neighbours)
    most = 1.0
    if evidence.unseen is None:
        most = most_followed(
            OwnAndNeighbours.of(alone, around, evidence.given), OwnAndNeighbours.of(theirs, nearest, held_out.labels)
        )
    return Consulted(mixed, (own * theirs + (1 - own) * nearest, held_out.labels), most)


def _accuracy(held_out: Trusted) -> tuple[float, int]:
    right = held_out.logits.argmax(-1) == held_out.labels
    return float(right.double().mean()), held_out.held_out


def _agrees_too_often(agreement: float, right: float, count: int) -> bool:
    likely = (right * count + 1) / (count + 2)  # smoothed, so that the variance is above 0 if all or none are right
    return agreement - right > max(_MUCH, 2 * math.sqrt(likely * (1 - likely) / count))

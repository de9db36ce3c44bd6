"""Candidates of a sampler from out-of-sample predictions."""

from __future__ import annotations

import numpy as np

from vri_pyro.label_issues.label_sampler import Candidates

_FLOOR = 1e-5
_ANY = 0.02  # of a predicted wrong label, spread over all classes
_LEAST = 1e-6


def candidates_of_predictions(
    classes: np.ndarray, p: np.ndarray, of_given: np.ndarray, right: np.ndarray, num_classes: int
) -> Candidates:
    """Build candidates from predictions of the true and of the given label.

    Args:
        classes: candidate classes, int64 [n, m], the given label (of a trusted example the true class) first.
        p: predictions of the true class, for the candidates, [n, m].
        of_given: predictions of the given label, [n, m].
        right: estimate of the share of correct labels by class, [K], for the part of ``of_given`` that is beyond the
            true class.
        num_classes: number of classes K.
    """
    p = (1 - _FLOOR) * p + _FLOOR / num_classes
    beyond = np.maximum(of_given - p * right[classes], 0) + _ANY / num_classes
    return Candidates(
        classes,
        p.astype(np.float32),
        _toward_label(of_given, np.maximum(of_given.sum(1), 1)),
        _toward_label(beyond, beyond.sum(1)),
    )


def all_classes(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return all classes as candidates, each row with its label first, int64 [n, K]."""
    found = np.tile(np.arange(num_classes), (len(labels), 1))
    found[np.arange(len(labels)), labels] = 0
    found[:, 0] = labels
    return found


def _toward_label(weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the weight of the given label among all classes but c, for each candidate c, [n, m]."""
    others = np.maximum(totals[:, None] - weights, _LEAST)
    return np.minimum(weights[:, :1] / others, 1.0).astype(np.float32)

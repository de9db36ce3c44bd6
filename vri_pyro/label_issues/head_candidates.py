"""Candidates of cross-fitted predictions, for noisy and trusted examples."""

from __future__ import annotations

import numpy as np

from vri_pyro.label_issues.candidates_of_predictions import all_classes, candidates_of_predictions
from vri_pyro.label_issues.cross_fitting import Predictions
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.top_classes import KEPT


def head_candidates(predicted: Predictions, labels: Labels) -> Candidates:
    """Take all classes as candidates, or the 20 most probable ones, [n, min(K, 20)]."""
    num_classes = predicted.log_true.shape[1]
    classes = most_probable(predicted.log_true, all_classes(labels.given, num_classes))
    p, of_given = (np.exp(np.take_along_axis(log, classes, 1)) for log in (predicted.log_true, predicted.log_given))
    return candidates_of_predictions(classes, p, of_given, predicted.transition.diagonal(), num_classes)


def most_probable(p: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Keep the first candidate and the most probable others, at most 20, int64 [n, min(K, 20)].

    Args:
        p: probabilities of all classes, or their logarithms, [n, K].
        classes: all candidates, int64 [n, K].
    """
    if classes.shape[1] <= KEPT:
        return classes
    rest = np.take_along_axis(p, classes[:, 1:], 1)
    best = np.argpartition(-rest, KEPT - 1, axis=1)[:, : KEPT - 1]
    return np.concatenate([classes[:, :1], np.take_along_axis(classes[:, 1:], best, 1)], axis=1)

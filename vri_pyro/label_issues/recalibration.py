"""Recalibration of out-of-sample predictions of true classes, by noisy and trusted labels."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from vri_pyro.label_issues.folds import folds_of, some_of
from vri_pyro.label_issues.noise_aware_head import Head, Labels, fitted_head, log_likelihoods, log_softmax

_PULLS = (1.0, 0.3, 0.1)  # precisions of the recalibration's coefficients, for each of them
_SLOPES = np.geomspace(0.5, 4, 13)
_EM_STEPS, _CONVERGED = 30, 1e-3
_LEAST = 1e-3


def tempered(log_p: np.ndarray, transition: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Fit a slope of log probabilities on a grid, and T by EM, by maximum likelihood; returns log p [n, K], and T.

    Slope and T have to be fitted together: predictions that are too unsure go with a T that has too little noise.

    Args:
        log_p: log probabilities of the true classes, [n, K].
        transition: where the estimate of T starts, [K, K].
        labels: noisy and trusted labels.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, for temperature scaling.
    """
    classes, noisy = log_p.shape[1], ~labels.trusted
    given = labels.given[noisy]
    labelled = csr_matrix((np.ones(len(given)), (given, np.arange(len(given)))), (classes, len(given)))
    prior = np.eye(classes) + 1 / classes
    best = (-np.inf, log_p, transition)
    for slope in _SLOPES:
        scaled = log_softmax(slope * log_p, axis=1)
        p, found = np.exp(scaled[noisy]), transition
        for _ in range(_EM_STEPS):
            joint = p * found.T[given]
            counts = (labelled @ (joint / joint.sum(1, keepdims=True))).T + prior
            before, found = found, counts / counts.sum(1, keepdims=True)
            if np.abs(found - before).max() < _CONVERGED:
                break
        score = float(log_likelihoods(scaled, labels, found).sum())
        if score > best[0]:
            best = (score, scaled, found)
    return best[1], best[2]


def recalibrated(log_p: np.ndarray, transition: np.ndarray, labels: Labels, seed: int) -> np.ndarray:
    """Recalibrate out-of-sample predictions of the true classes where that helps; returns their logarithms, [n, K].

    Heads on log p, with coefficients near those of no change, are cross-fitted in turn, each with another precision. Of
    these and the given predictions, those are returned under which the labels, which none of them has seen, are most
    likely. With few labels a class, a head would predict worse.

    Args:
        log_p: log probabilities with a temperature that suits the labels, [n, K].
        transition: T, [K, K].
        labels: noisy and trusted labels.
        seed: seed of the folds.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, for matrix scaling.
    """
    classes = log_p.shape[1]
    unchanged = np.eye(classes)
    x = np.log((1 - _LEAST) * np.exp(log_p) + _LEAST / classes)
    x -= x.mean(1, keepdims=True)
    candidates, folds = [log_p], folds_of(labels, seed)
    for pull in _PULLS:
        start, changed = Head(np.vstack([unchanged, np.zeros(classes)]), transition), np.empty_like(log_p)
        for out in folds:
            inside = some_of(~out, classes**2, seed) | (~out & labels.trusted)
            start = fitted_head(x[inside], labels.at(inside), pull * classes**2, start, learn=False, centre=unchanged)
            changed[out] = start.log_probabilities(x[out])
        candidates.append(changed)
    return max(candidates, key=lambda each: log_likelihoods(each, labels, transition).sum())

"""Out-of-sample predictions of true and of given labels, by cross-fitted heads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues.noise_aware_head import Head, Labels, fitted_head
from vri_pyro.label_issues.out_of_sample import LARGEST
from vri_pyro.methods.confident_learning import fold_of

_MOST_CLASSES = 50  # for which heads are fitted
_FEWEST = 50  # examples for which heads are fitted
_FOLDS = 5
_WORK, _ENOUGH = 40_000_000, 2000  # examples times features times classes that a head is fitted to; and examples
_PRECISIONS = (100.0, 10.0, 1.0)  # of the coefficients of a head on features
_PULLS = (1.0, 0.3, 0.1)  # precisions of the recalibration's coefficients, for each of them
_SLOPES = np.geomspace(0.5, 4, 13)
_EM_STEPS, _CONVERGED = 30, 1e-3
_CONFIDENT = 3.0  # examples that the confident counts are worth beside a class's trusted ones
_PRIOR = 0.5
_LEAST = 1e-3


class Predictions(NamedTuple):
    """Out-of-sample predictions of n examples.

    Attributes:
        log_true: log p(z | x) of the true class, [n, K].
        log_given: log p(y | x) of the given label, [n, K].
        transition: the estimate of T that the predictions of the true class used, [K, K].
    """

    log_true: np.ndarray
    log_given: np.ndarray
    transition: np.ndarray


def can_be_fitted(labels: np.ndarray, num_classes: int, dimensions: int) -> bool:
    """Whether heads can be cross-fitted to labels, int64 [n], on features with D dimensions.

    There must be at most 50 classes, at least 50 labels, at least 5 of each class, and n · D · K at most 2e8.
    """
    enough = len(labels) >= _FEWEST and np.bincount(labels, minlength=num_classes).min() >= _FOLDS
    return num_classes <= _MOST_CLASSES and bool(enough) and len(labels) * dimensions * num_classes <= LARGEST


def cross_fitted(features: np.ndarray, labels: Labels, num_classes: int, seed: int) -> Predictions:
    """Predict true and given labels by heads on features, each example by heads that saw no label of its fold.

    A first head predicts given labels. A second one predicts true classes: it is fitted to noisy labels through a
    transition matrix T and to trusted labels directly. Its predictions are recalibrated, as in ``_recalibrated``.

    Args:
        features: standardised features, [n, D].
        labels: noisy and trusted labels.
        num_classes: number of classes K.
        seed: seed of the folds.
    """
    folds, size = _folds(labels, seed), features.shape[1]
    log_given = np.empty((len(features), num_classes))
    plain = Labels(labels.given, np.ones_like(labels.trusted))
    noisy = ~labels.trusted
    start, precision = Head(np.zeros((size + 1, num_classes)), np.eye(num_classes)), None
    heads = []
    for out in folds:
        inside = _some(~out & noisy, features.shape[1] * num_classes, seed)
        if precision is None:
            precision, start = _chosen(features, plain, inside, out & noisy, start)
        start = fitted_head(features[inside], plain.at(inside), precision, start, learn=False)
        heads.append(start)
        log_given[out] = start.log_probabilities(features[out])
    first = _first_transition(np.exp(log_given), labels)
    log_true, transitions = np.empty_like(log_given), []
    for out, head in zip(folds, heads, strict=True):
        inside = _some(~out, features.shape[1] * num_classes, seed) | (~out & labels.trusted)
        found = fitted_head(features[inside], labels.at(inside), precision or 1.0, Head(head.weights, first))
        log_true[out] = found.log_probabilities(features[out])
        transitions.append(found.transition)
    log_true, transition = _recalibrated(log_true, np.mean(transitions, axis=0), labels, seed + 1)
    return Predictions(log_true, log_given, transition)


def _recalibrated(
    log_p: np.ndarray, transition: np.ndarray, labels: Labels, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Recalibrate out-of-sample predictions of the true classes; returns their logarithms [n, K], and T [K, K].

    First a temperature and T are fitted. Then heads on log p, with coefficients near those of no change and this T, are
    cross-fitted in turn, each with another precision. Of these and the temperature alone, the predictions are
    returned under which the labels, which none of them has seen, are most likely. With few labels a class, a head
    would predict worse than the temperature alone.

    Args:
        log_p: log probabilities, [n, K].
        transition: an estimate of T, [K, K].
        labels: noisy and trusted labels.
        seed: seed of the folds.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, for temperature and matrix scaling.
    """
    log_p, transition = _temperature(log_p, labels, transition)
    classes = log_p.shape[1]
    unchanged = np.eye(classes)
    x = np.log((1 - _LEAST) * np.exp(log_p) + _LEAST / classes)
    x -= x.mean(1, keepdims=True)
    candidates, folds = [log_p], _folds(labels, seed)
    for pull in _PULLS:
        start, changed = Head(np.vstack([unchanged, np.zeros(classes)]), transition), np.empty_like(log_p)
        for out in folds:
            inside = _some(~out, classes**2, seed) | (~out & labels.trusted)
            start = fitted_head(x[inside], labels.at(inside), pull * classes**2, start, learn=False, centre=unchanged)
            changed[out] = start.log_probabilities(x[out])
        candidates.append(changed)
    return max(candidates, key=lambda each: _log_likelihood(each, labels, transition)), transition


def _first_transition(p: np.ndarray, labels: Labels) -> np.ndarray:
    """Estimate T from predictions of the given labels, [n, K]: trusted examples' means, and confident counts.

    Reference: Hendrycks et al., Using trusted data, NeurIPS 2018; Northcutt et al., Confident learning, JAIR 2021.
    """
    classes, noisy = p.shape[1], ~labels.trusted
    given, part = labels.given[noisy], p[noisy]
    counts = np.bincount(given, minlength=classes)
    own = np.bincount(given, part[np.arange(len(given)), given], classes)
    thresholds = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    confident = np.where(part >= thresholds - 1e-9, part, -1.0)
    sure = confident.max(1, initial=-1.0) > 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (confident[sure].argmax(1), given[sure]), 1)
    joint = joint * counts / np.maximum(joint.sum(0), 1) + _PRIOR * np.eye(classes) + _PRIOR / classes
    found = _CONFIDENT * joint / joint.sum(1, keepdims=True)
    np.add.at(found, labels.given[labels.trusted], p[labels.trusted])
    return np.asarray(found / found.sum(1, keepdims=True))


def _folds(labels: Labels, seed: int) -> list[np.ndarray]:
    """Divide noisy and trusted examples into folds, stratified by label: masks, bool [n] each."""
    fold = np.empty(len(labels.given), dtype=np.int64)
    for part in (labels.trusted, ~labels.trusted):
        if part.any():
            fold[part] = fold_of(labels.given[part], min(_FOLDS, int(part.sum())), seed)
    return [fold == number for number in range(int(fold.max()) + 1)]


def _some(mask: np.ndarray, work: int, seed: int) -> np.ndarray:
    """Return a random part of a mask whose size bounds the work of a fit, bool [n]."""
    rows, most = np.flatnonzero(mask), max(_ENOUGH, _WORK // work)
    if len(rows) <= most:
        return mask
    found = np.zeros_like(mask)
    found[rows[permutation(generator_for(seed, "heads"), len(rows))[:most]]] = True
    return found


def _chosen(x: np.ndarray, labels: Labels, inside: np.ndarray, out: np.ndarray, start: Head) -> tuple[float, Head]:
    """Choose the precision of a head under which the labels of a fold are most likely."""
    best = (-np.inf, _PRECISIONS[0], start)
    for precision in _PRECISIONS:
        start = fitted_head(x[inside], labels.at(inside), precision, start, learn=False)
        score = _log_likelihood(start.log_probabilities(x[out]), labels.at(out), start.transition)
        if score > best[0]:
            best = (score, precision, start)
    return best[1], best[2]


def _log_likelihood(log_p: np.ndarray, labels: Labels, transition: np.ndarray) -> float:
    """Return the log-likelihood of noisy labels through T, and of trusted labels."""
    p = np.exp(log_p)
    of_noisy = (p * transition.T[labels.given]).sum(1)
    each = np.where(labels.trusted, p[np.arange(len(p)), labels.given], of_noisy)
    return float(np.log(each + 1e-12).sum())


def _temperature(log_p: np.ndarray, labels: Labels, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a slope of log probabilities on a grid, and T by EM, by maximum likelihood; returns log p and T.

    Slope and T have to be fitted together: predictions that are too unsure go with a T that has too little noise.
    """
    classes, noisy = log_p.shape[1], ~labels.trusted
    given = labels.given[noisy]
    labelled = csr_matrix((np.ones(len(given)), (given, np.arange(len(given)))), (classes, len(given)))
    prior = np.eye(classes) + 1 / classes
    best = (-np.inf, log_p, transition)
    for slope in _SLOPES:
        scaled = slope * log_p
        scaled -= logsumexp(scaled, axis=1, keepdims=True)
        p, found = np.exp(scaled[noisy]), transition
        for _ in range(_EM_STEPS):
            joint = p * found.T[given]
            counts = (labelled @ (joint / joint.sum(1, keepdims=True))).T + prior
            before, found = found, counts / counts.sum(1, keepdims=True)
            if np.abs(found - before).max() < _CONVERGED:
                break
        score = _log_likelihood(scaled, labels, found)
        if score > best[0]:
            best = (score, scaled, found)
    return best[1], best[2]

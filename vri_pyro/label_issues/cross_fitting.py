"""Out-of-sample predictions of true and of given labels, by cross-fitted heads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues.folds import FOLDS, folds_of, some_of
from vri_pyro.label_issues.kernel_features import COMPONENTS, NARROWER, with_kernel
from vri_pyro.label_issues.noise_aware_head import Head, Labels, fitted_head, log_likelihoods
from vri_pyro.label_issues.out_of_sample import LARGEST
from vri_pyro.label_issues.recalibration import recalibrated, tempered

_MOST_CLASSES = 50  # for which heads are fitted
_FEWEST = 50  # examples for which heads are fitted
_PRECISIONS = (100.0, 10.0, 1.0)  # of the coefficients of a head on features
_CLEARLY = 2.0  # standard errors by which heads on kernels, or from another start, must be better
_RESTARTS = 2  # further starts of a fit, at most
_SHARPER = 0.1  # precision of the heads that a further start has, relative to that of the others
_COMPARED = 4000  # examples by which kernels are chosen
_CONFIDENT = 3.0  # examples that the confident counts are worth beside a class's trusted ones
_PRIOR = 0.5


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
    enough = len(labels) >= _FEWEST and np.bincount(labels, minlength=num_classes).min() >= FOLDS
    return num_classes <= _MOST_CLASSES and bool(enough) and len(labels) * dimensions * num_classes <= LARGEST


def cross_fitted(features: np.ndarray, labels: Labels, num_classes: int, seed: int) -> Predictions:
    """Predict true and given labels by heads on features, each example by heads that saw no label of its fold.

    The heads are linear in the features. If labels that they have not seen become clearly more likely, they are linear
    in the features and in components of a Gaussian kernel, which becomes narrower for as long as that is so. Of more
    than 4,000 examples, a random part decides that. There are no kernels if n · (D + 200) · K is above 2e8.
    Predictions of the true classes are recalibrated, see :mod:`~vri_pyro.label_issues.recalibration`.

    Args:
        features: standardised features, [n, D].
        labels: noisy and trusted labels.
        num_classes: number of classes K.
        seed: seed of the folds.
    """
    count, columns = features.shape
    rows = np.arange(count)
    if count > _COMPARED:
        rows = np.sort(permutation(generator_for(seed, "kernels"), count)[:_COMPARED])
    x, known, chosen = features[rows], labels.at(rows), None
    best = _tempered(x, known, num_classes, seed)
    for narrower in NARROWER if count * (columns + COMPONENTS) * num_classes <= LARGEST else ():
        found = _tempered(with_kernel(x, narrower, seed), known, num_classes, seed)
        if not _clearly_better(found, best, known):
            break
        best, chosen = found, narrower
    if count > _COMPARED:
        best = _tempered(features, labels, num_classes, seed)
        if chosen is not None:  # heads on a kernel may be fitted to fewer examples than linear ones, see some_of
            found = _tempered(with_kernel(features, chosen, seed), labels, num_classes, seed)
            best = max(best, found, key=lambda each: _likelihoods(each, labels).sum())
    return best._replace(log_true=recalibrated(best.log_true, best.transition, labels, seed + 1))


def _likelihoods(found: Predictions, labels: Labels) -> np.ndarray:
    return log_likelihoods(found.log_true, labels, found.transition)


def _clearly_better(one: Predictions, other: Predictions, labels: Labels) -> bool:
    """Return whether labels that were not seen are clearly more likely under one of two predictions."""
    gain = _likelihoods(one, labels) - _likelihoods(other, labels)
    return bool(gain.sum() > _CLEARLY * np.sqrt(len(gain)) * gain.std())


def _tempered(x: np.ndarray, labels: Labels, num_classes: int, seed: int) -> Predictions:
    """Predict by heads on a design [n, D], with the temperature that suits the labels."""
    found = _of_heads(x, labels, num_classes, seed)
    log_true, transition = tempered(found.log_true, found.transition, labels)
    return Predictions(log_true, found.log_given, transition)


def _of_heads(x: np.ndarray, labels: Labels, num_classes: int, seed: int) -> Predictions:
    """Predict by heads on a design [n, D].

    A first head predicts given labels. A second one predicts true classes: it is fitted to noisy labels through a
    transition matrix T and to trusted labels directly. It starts at the first one, whose predictions are as unsure as
    the labels are noisy, and may end with a T that leaves the noise of some classes to unsure predictions. So the
    second one is also started where all its decisions are right: at a head that is fitted to the decisions, with the
    counts of decisions and labels as T. That is kept, and done once more, if labels that were not seen become clearly
    more likely.
    """
    folds, work = folds_of(labels, seed), x.shape[1] * num_classes
    log_given = np.empty((len(x), num_classes))
    plain = Labels(labels.given, np.ones_like(labels.trusted))
    noisy = ~labels.trusted
    start, precision = Head(np.zeros((x.shape[1] + 1, num_classes)), np.eye(num_classes)), 1.0
    heads = []
    for number, out in enumerate(folds):
        inside = some_of(~out & noisy, work, seed)
        if not number:
            precision, start = _chosen(x, plain, inside, out & noisy, start)
        start = fitted_head(x[inside], plain.at(inside), precision, start, learn=False)
        heads.append(start)
        log_given[out] = start.log_probabilities(x[out])

    inside_of = [some_of(~out, work, seed) | (~out & labels.trusted) for out in folds]

    def from_start(heads: list[Head], transition: np.ndarray) -> Predictions:
        log_true, transitions = np.empty_like(log_given), []
        for out, inside, head in zip(folds, inside_of, heads, strict=True):
            found = fitted_head(x[inside], labels.at(inside), precision, Head(head.weights, transition))
            log_true[out] = found.log_probabilities(x[out])
            transitions.append(found.transition)
        return Predictions(log_true, log_given, np.mean(transitions, axis=0))

    best = from_start(heads, _first_transition(np.exp(log_given), labels))
    for _ in range(_RESTARTS):
        decided = np.where(labels.trusted, labels.given, best.log_true.argmax(1))
        sharp, known = [], Labels(decided, np.ones_like(labels.trusted))
        for inside in inside_of:
            sharp.append(fitted_head(x[inside], known.at(inside), _SHARPER * precision, heads[0], learn=False))
        counts = np.eye(num_classes) + 1 / num_classes
        np.add.at(counts, (decided[noisy], labels.given[noisy]), 1)
        found = from_start(sharp, counts / counts.sum(1, keepdims=True))
        if not _clearly_better(found, best, labels):
            break
        best = found
    return best


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


def _chosen(x: np.ndarray, labels: Labels, inside: np.ndarray, out: np.ndarray, start: Head) -> tuple[float, Head]:
    """Choose the precision of a head under which the labels of a fold are most likely."""
    best = (-np.inf, _PRECISIONS[0], start)
    for precision in _PRECISIONS:
        start = fitted_head(x[inside], labels.at(inside), precision, start, learn=False)
        score = log_likelihoods(start.log_probabilities(x[out]), labels.at(out), start.transition).sum()
        if score > best[0]:
            best = (score, precision, start)
    return best[1], best[2]

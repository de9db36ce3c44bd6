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
    known, chosen = labels.at(rows), None
    best = _Heads(features[rows], known, num_classes, seed)
    for narrower in NARROWER if count * (columns + COMPONENTS) * num_classes <= LARGEST else ():
        found = _Heads(with_kernel(features[rows], narrower, seed), known, num_classes, seed)
        if not _clearly_better(found.predictions, best.predictions, known):
            break
        best, chosen = found, narrower
    if count > _COMPARED:
        best = _Heads(features, labels, num_classes, seed)
        if chosen is not None:  # heads on a kernel may be fitted to fewer examples than linear ones, see some_of
            found = _Heads(with_kernel(features, chosen, seed), labels, num_classes, seed)
            best = max(best, found, key=lambda each: _likelihoods(each.predictions, labels).sum())
    made = best.started_again()
    return made._replace(log_true=recalibrated(made.log_true, made.transition, labels, seed + 1))


def _likelihoods(found: Predictions, labels: Labels) -> np.ndarray:
    return log_likelihoods(found.log_true, labels, found.transition)


def _clearly_better(one: Predictions, other: Predictions, labels: Labels) -> bool:
    """Return whether labels that were not seen are clearly more likely under one of two predictions."""
    gain = _likelihoods(one, labels) - _likelihoods(other, labels)
    return bool(gain.sum() > _CLEARLY * np.sqrt(len(gain)) * gain.std())


class _Heads:
    """Cross-fitted heads on a design, and what they predict.

    A first head of each fold predicts given labels. A second one predicts true classes: it is fitted to noisy labels
    through a transition matrix T and to trusted labels directly, and its predictions get the temperature that suits the
    labels.

    Args:
        x: the design, [n, D].
        labels: noisy and trusted labels.
        num_classes: number of classes K.
        seed: seed of the folds.

    Attributes:
        predictions: what is predicted where the second heads start at the first ones.
    """

    def __init__(self, x: np.ndarray, labels: Labels, num_classes: int, seed: int) -> None:
        self._x, self._labels, self._classes = x, labels, num_classes
        self._folds, work = folds_of(labels, seed), x.shape[1] * num_classes
        plain, noisy = Labels(labels.given, np.ones_like(labels.trusted)), ~labels.trusted
        start, precision = Head(np.zeros((x.shape[1] + 1, num_classes)), np.eye(num_classes)), None
        self._log_given, heads = np.empty((len(x), num_classes)), []
        for out in self._folds:
            inside = some_of(~out & noisy, work, seed)
            if precision is None:
                precision, start = _chosen(x, plain, inside, out & noisy, start)
            start = fitted_head(x[inside], plain.at(inside), precision, start, learn=False)
            heads.append(start)
            self._log_given[out] = start.log_probabilities(x[out])
        self._inside = [some_of(~out, work, seed) | (~out & labels.trusted) for out in self._folds]
        self._precision = precision or 1.0
        self.predictions = self._from(heads, _first_transition(np.exp(self._log_given), labels))
        self._first = heads[0]

    def started_again(self) -> Predictions:
        """Predict from other starts, if labels that were not seen are clearly more likely then.

        First heads are as unsure as the labels are noisy, and heads that start there may end with a T that leaves the
        noise of some classes to unsure predictions. Another start takes decisions for right: heads are fitted to them,
        and T is counted from decisions and labels. The decisions are those of the first heads, and then those of the
        best heads so far, for as long as these become clearly better, but at most twice.
        """
        best = self._better(self.predictions, self._log_given)
        for _ in range(_RESTARTS):
            found = self._better(best, best.log_true)
            if found is best:
                break
            best = found
        return best

    def _better(self, best: Predictions, log_p: np.ndarray) -> Predictions:
        """Return what is predicted from a start at the most probable classes of log p, [n, K], or what is better."""
        labels, noisy = self._labels, ~self._labels.trusted
        decided = np.where(labels.trusted, labels.given, log_p.argmax(1))
        known = Labels(decided, np.ones_like(labels.trusted))
        precision, heads = _SHARPER * self._precision, []
        for inside in self._inside:
            heads.append(fitted_head(self._x[inside], known.at(inside), precision, self._first, learn=False))
        counts = np.eye(self._classes) + 1 / self._classes
        np.add.at(counts, (decided[noisy], labels.given[noisy]), 1)
        found = self._from(heads, counts / counts.sum(1, keepdims=True))
        return found if _clearly_better(found, best, labels) else best

    def _from(self, heads: list[Head], transition: np.ndarray) -> Predictions:
        log_true, transitions = np.empty_like(self._log_given), []
        for out, inside, head in zip(self._folds, self._inside, heads, strict=True):
            start = Head(head.weights, transition)
            found = fitted_head(self._x[inside], self._labels.at(inside), self._precision, start)
            log_true[out] = found.log_probabilities(self._x[out])
            transitions.append(found.transition)
        scaled, transition = tempered(log_true, np.mean(transitions, axis=0), self._labels)
        return Predictions(scaled, self._log_given, transition)


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

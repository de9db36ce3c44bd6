"""Multinomial logistic regression behind a transition matrix, fitted to noisy and trusted labels together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

_ITERATIONS = 50
_TINY = 1e-12
_LEAST = 1e-300


class Labels(NamedTuple):
    """Labels of n examples, of which some are trusted.

    Attributes:
        given: given labels of the noisy examples, and the true ones of the trusted, int64 [n].
        trusted: whether the label is trusted, bool [n].
    """

    given: np.ndarray
    trusted: np.ndarray

    def at(self, rows: np.ndarray) -> Labels:
        """Return the labels at some rows."""
        return Labels(self.given[rows], self.trusted[rows])

    def with_earlier(self, earlier: np.ndarray) -> Labels:
        """Return the labels as they were before some examples were verified.

        Args:
            earlier: labels as given of the verified examples, -1 for others, int64 [n].
        """
        return Labels(np.where(earlier >= 0, earlier, self.given), self.trusted & (earlier < 0))


class Head(NamedTuple):
    """A fitted head.

    Attributes:
        weights: coefficients, the last row being the intercept, [D + 1, K].
        transition: T of the noisy labels, [K, K].
    """

    weights: np.ndarray
    transition: np.ndarray

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return log p(z | x) of features [n, D], as [n, K]."""
        return log_softmax(x @ self.weights[:-1] + self.weights[-1], axis=1)


def log_softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    """Return log softmax along an axis; SciPy's functions take several times as long on arrays as small as here."""
    shifted = logits - logits.max(axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)))


def fitted_head(
    x: np.ndarray, labels: Labels, precision: float, start: Head, learn: bool = True, centre: np.ndarray | float = 0.0
) -> Head:
    """Maximise Σ log Σ_c p(c | x) T[c, y] over noisy labels plus Σ log p(z | x) over trusted ones.

    Args:
        x: standardised features, [n, D].
        labels: labels of the n examples.
        precision: precision of the normal prior of the coefficients.
        start: where to start; if ``learn`` is false its T is kept.
        learn: whether T is learned.
    """
    dim, classes = start.weights.shape
    prior = 1 / classes + np.eye(classes)
    noisy, trusted = np.flatnonzero(~labels.trusted), np.flatnonzero(labels.trusted)
    given, known = labels.given[noisy], labels.given[trusted]
    columns = np.arange(len(noisy), len(x))  # of the trusted examples, which come last
    of_label = np.eye(classes)[given]
    # Arrays have classes first and examples last, because NumPy sums fastest along the first axis.
    design = np.column_stack([x, np.ones(len(x))])[np.concatenate([noisy, trusted])].T

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat[: dim * classes].reshape(dim, classes)
        p = np.exp(log_softmax(weights.T @ design, axis=0))
        log_t = log_softmax(flat[dim * classes :].reshape(classes, classes), axis=1) if learn else fixed
        t = np.exp(log_t)
        joint = p[:, : len(noisy)] * t[:, given]
        total = joint.sum(0) + _LEAST
        joint /= total
        away = weights[:-1] - centre
        value = precision / 2 * (away**2).sum() - np.log(total).sum() - np.log(p[known, columns] + _LEAST).sum()
        p[:, : len(noisy)] -= joint
        p[known, columns] -= 1
        gradient = np.empty(dim * classes + (classes**2 if learn else 0))
        part = gradient[: dim * classes].reshape(dim, classes)
        np.matmul(design, p.T, out=part)
        part[:-1] += precision * away
        if learn:
            counts = joint @ of_label + prior
            value -= (prior * log_t).sum()
            gradient[dim * classes :] = (counts.sum(1, keepdims=True) * t - counts).ravel()
        return value, gradient

    fixed = np.log(start.transition + _TINY)
    first = [start.weights.ravel()] + ([np.log(start.transition + 1e-3).ravel()] if learn else [])
    found = minimize(loss, np.concatenate(first), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    weights = found[: dim * classes].reshape(dim, classes)
    if not learn:
        return Head(weights, start.transition)
    return Head(weights, np.exp(log_softmax(found[dim * classes :].reshape(classes, classes), axis=1)))


def log_likelihoods(log_p: np.ndarray, labels: Labels, transition: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of each label, of noisy ones through T, [n].

    Args:
        log_p: log probabilities of the true classes, [n, K].
        labels: labels of the n examples.
        transition: T of the noisy labels, [K, K].
    """
    p = np.exp(log_p)
    of_noisy = (p * transition.T[labels.given]).sum(1)
    each = np.where(labels.trusted, p[np.arange(len(p)), labels.given], of_noisy)
    return np.asarray(np.log(each + _TINY))

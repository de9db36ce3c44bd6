"""Multinomial logistic regression behind a transition matrix, fitted to noisy and trusted labels together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

_ITERATIONS = 50
_TINY = 1e-12


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
        logits = x @ self.weights[:-1] + self.weights[-1]
        return np.asarray(logits - logsumexp(logits, axis=1, keepdims=True))


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
    given, noisy = labels.given, ~labels.trusted
    prior = 1 / classes + np.eye(classes)
    rows_of = np.flatnonzero(noisy)
    labelled = csr_matrix((np.ones(len(rows_of)), (given[rows_of], rows_of)), (classes, len(x)))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat[: dim * classes].reshape(dim, classes)
        log_p = Head(weights, start.transition).log_probabilities(x)
        p = np.exp(log_p)
        logs = flat[dim * classes :].reshape(classes, classes) if learn else np.log(start.transition + _TINY)
        log_t = logs - logsumexp(logs, axis=1, keepdims=True)
        t = np.exp(log_t)
        joint = p * t.T[given]
        joint[~noisy] = 0
        joint[~noisy, given[~noisy]] = p[~noisy, given[~noisy]]
        total = joint.sum(1) + 1e-300
        r = joint / total[:, None]
        away = weights[:-1] - centre
        value = -np.log(total).sum() + precision / 2 * (away**2).sum()
        gradient = np.empty(dim * classes + (classes**2 if learn else 0))
        by_class = p - r
        part = gradient[: dim * classes].reshape(dim, classes)
        part[:-1] = x.T @ by_class + precision * away
        part[-1] = by_class.sum(0)
        if learn:
            counts = (labelled @ r).T + prior
            value -= (prior * log_t).sum()
            gradient[dim * classes :] = (counts.sum(1, keepdims=True) * t - counts).ravel()
        return value, gradient

    first = [start.weights.ravel()] + ([np.log(start.transition + 1e-3).ravel()] if learn else [])
    found = minimize(loss, np.concatenate(first), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
    weights = found[: dim * classes].reshape(dim, classes)
    if not learn:
        return Head(weights, start.transition)
    logs = found[dim * classes :].reshape(classes, classes)
    return Head(weights, np.exp(logs - logsumexp(logs, axis=1, keepdims=True)))


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

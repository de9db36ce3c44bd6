"""The fitted head maximises its posterior as it is written down, here without a gradient and row by row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from vri_pyro.label_issues.noise_aware_head import Head, Labels, fitted_head

CLASSES, PRECISION = 3, 2.0
START = Head(np.zeros((3, CLASSES)), 0.7 * np.eye(CLASSES) + 0.1)


def _task(trusted_share: float) -> tuple[np.ndarray, Labels]:
    generator = np.random.default_rng(0)
    true = np.arange(60) % CLASSES
    x = generator.standard_normal((CLASSES, 2))[true] + generator.standard_normal((60, 2))
    trusted = generator.random(60) < trusted_share
    given = np.where(~trusted & (generator.random(60) < 0.3), (true + 1) % CLASSES, true)
    return x, Labels(given, trusted)


def _loss(head: Head, x: np.ndarray, labels: Labels, learn: bool, centre: float) -> float:
    found = PRECISION / 2 * float(((head.weights[:-1] - centre) ** 2).sum())
    for row, given, trusted in zip(x, labels.given, labels.trusted, strict=True):
        p = np.exp(log_softmax(row @ head.weights[:-1] + head.weights[-1]))
        found -= np.log(p[given] if trusted else p @ head.transition[:, given])
    if learn:
        found -= float(((1 / CLASSES + np.eye(CLASSES)) * np.log(head.transition)).sum())
    return found


@pytest.mark.parametrize("trusted_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("centre", [0.0, 0.5])
def test_fitted_head_is_the_maximum_of_the_posterior(trusted_share: float, learn: bool, centre: float) -> None:
    x, labels = _task(trusted_share)

    def head(flat: np.ndarray) -> Head:
        logs = flat[9:].reshape(3, 3) if learn else np.log(START.transition)
        return Head(flat[:9].reshape(3, 3), np.exp(log_softmax(logs, axis=1)))

    first = np.concatenate([START.weights.ravel(), np.log(START.transition).ravel()])[: 18 if learn else 9]
    plain = minimize(lambda flat: _loss(head(flat), x, labels, learn, centre), first, method="BFGS")
    found = fitted_head(x, labels, PRECISION, START, learn=learn, centre=centre)
    assert _loss(found, x, labels, learn, centre) == pytest.approx(plain.fun, abs=1e-3)
    best = head(plain.x)
    np.testing.assert_allclose(
        found.log_probabilities(x), log_softmax(x @ best.weights[:-1] + best.weights[-1], axis=1), atol=0.02
    )
    np.testing.assert_allclose(found.transition, best.transition, atol=0.02)

"""Tests of the recalibration of predictions by noisy and trusted labels."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.recalibration import recalibrated, tempered


def _calibrated(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return log probabilities, [count, 3], and classes that are drawn from them."""
    generator = np.random.default_rng(seed)
    logits = 3 * generator.standard_normal((count, 3))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log_p, (generator.random((count, 1)) > np.exp(log_p).cumsum(1)).sum(1).clip(0, 2)


def _flipped(truth: np.ndarray, transition: np.ndarray, seed: int = 1) -> np.ndarray:
    below = np.random.default_rng(seed).random((len(truth), 1)) > transition[truth].cumsum(1)
    return below.sum(1).clip(0, len(transition) - 1)


def _surprise(log_p: np.ndarray, truth: np.ndarray) -> float:
    return float(-log_p[np.arange(len(truth)), truth].mean())


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_temperature_and_transition_are_fitted_together(slope: float, start: float) -> None:
    log_p, truth = _calibrated(4000)
    transition = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])
    labels = Labels(_flipped(truth, transition), np.zeros(4000, dtype=bool))
    first = (1 - start) * np.eye(3) + start / 3
    found, estimate = tempered(log_p * slope, first + 1e-3, labels)
    assert _surprise(found, truth) == pytest.approx(_surprise(log_p, truth), abs=0.01)
    np.testing.assert_allclose(estimate, transition, atol=0.06)


def test_recalibration_is_left_out_where_it_would_predict_worse_and_taken_where_it_helps() -> None:
    log_p, truth = _calibrated(400)
    labels = Labels(truth, np.arange(400) < 100)
    alone, transition = tempered(log_p, np.eye(3), labels)
    np.testing.assert_array_equal(recalibrated(alone, transition, labels, 0), alone)
    log_p, truth = _calibrated(3000)
    mixed = log_p[:, [1, 0, 2]]  # two classes change places, which no temperature mends
    labels = Labels(truth, np.arange(3000) < 1500)
    alone, transition = tempered(mixed, np.eye(3), labels)
    assert _surprise(recalibrated(alone, transition, labels, 0), truth) < _surprise(alone, truth) - 0.5

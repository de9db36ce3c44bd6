"""Tests of out-of-sample predictions of true classes: how sure they are, and the transition matrix."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.label_issues import cross_fitting
from vri_pyro.label_issues.cross_fitting import cross_fitted
from vri_pyro.label_issues.noise_aware_head import Labels


def _overlapping(classes: int, count: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    truth = generator.integers(classes, size=count)
    means = distance * generator.standard_normal((classes, 32))
    return means[truth] + generator.standard_normal((count, 32)), truth


def _surprise(log_p: np.ndarray, truth: np.ndarray) -> float:
    return float(-log_p[np.arange(len(truth)), truth].mean())


def _entropy(log_p: np.ndarray) -> float:
    return float(-(np.exp(log_p) * log_p).sum(1).mean())


@pytest.mark.parametrize(("classes", "distance", "rate"), [(30, 0.6, 0.0), (10, 0.4, 0.0), (10, 0.4, 0.3)])
def test_predictions_are_as_sure_as_they_are_right(classes: int, distance: float, rate: float) -> None:
    x, truth = _overlapping(classes, 3000, distance)
    moved = np.random.default_rng(5).random(3000) < rate
    trusted = np.arange(3000) < 30 * classes
    given = np.where(moved & ~trusted, (truth + 1) % classes, truth)
    found = cross_fitted((x - x.mean(0)) / x.std(0), Labels(given, trusted), classes, 0).log_true
    # Entropy is the surprise that the predictions expect; with probabilities that are too sure, it is smaller.
    assert _entropy(found) == pytest.approx(_surprise(found, truth), abs=0.15)


def _chequered(count: int, squares: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(7).random((count, 2))
    return (x - x.mean(0)) / x.std(0), (squares * x).astype(int).sum(1) % 2


@pytest.mark.parametrize(("squares", "rate", "least"), [(2, 0.0, 0.98), (2, 0.2, 0.96), (4, 0.2, 0.88)])
def test_classes_that_no_line_separates_are_told_apart(squares: int, rate: float, least: float) -> None:
    x, truth = _chequered(2000, squares)
    moved = np.random.default_rng(5).random(2000) < rate
    found = cross_fitted(x, Labels(np.where(moved, 1 - truth, truth), np.zeros(2000, dtype=bool)), 2, 0)
    assert (found.log_true.argmax(1) == truth).mean() > least
    assert _surprise(found.log_true, truth) < 0.4
    np.testing.assert_allclose(found.transition, (1 - rate) * np.eye(2) + rate * np.eye(2)[::-1], atol=0.06)


def test_kernels_are_left_out_where_they_predict_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    x, truth = _overlapping(5, 1000, 0.4)
    labels = Labels(truth, np.zeros(1000, dtype=bool))
    found = cross_fitted(x, labels, 5, 0).log_true
    monkeypatch.setattr(cross_fitting, "NARROWER", ())
    np.testing.assert_array_equal(found, cross_fitted(x, labels, 5, 0).log_true)


def test_of_many_examples_a_part_decides_on_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_fitting, "_COMPARED", 600)
    sizes, kernel = list[tuple[int, float]](), cross_fitting.with_kernel

    def followed(features: np.ndarray, narrower: float, seed: int) -> np.ndarray:
        sizes.append((len(features), narrower))
        return kernel(features, narrower, seed)

    monkeypatch.setattr(cross_fitting, "with_kernel", followed)
    x, truth = _chequered(2000, 2)
    found = cross_fitted(x, Labels(truth, np.zeros(2000, dtype=bool)), 2, 0).log_true
    assert (found.argmax(1) == truth).mean() > 0.98
    assert sizes in ([(600, 1.0), (600, 4.0), (2000, 1.0)], [(600, 1.0), (600, 4.0), (600, 16.0), (2000, 4.0)])
    sizes.clear()
    x, truth = _overlapping(5, 1000, 0.4)
    linear = cross_fitted(x, Labels(truth, np.zeros(1000, dtype=bool)), 5, 0).log_true
    assert sizes == [(600, 1.0)]
    monkeypatch.setattr(cross_fitting, "NARROWER", ())
    np.testing.assert_array_equal(linear, cross_fitted(x, Labels(truth, np.zeros(1000, dtype=bool)), 5, 0).log_true)


def test_no_kernel_is_computed_for_more_examples_than_memory_and_time_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    x, truth = _chequered(500, 2)
    labels = Labels(truth, np.zeros(500, dtype=bool))
    monkeypatch.setattr(cross_fitting, "LARGEST", 500 * 202 * 2 - 1)
    few = (cross_fitted(x, labels, 2, 0).log_true.argmax(1) == truth).mean()
    monkeypatch.setattr(cross_fitting, "LARGEST", 500 * 202 * 2)
    assert (cross_fitted(x, labels, 2, 0).log_true.argmax(1) == truth).mean() > 0.95 > 0.8 > few


def test_another_start_finds_noise_that_unsure_predictions_had_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    means, cluster = 2 * generator.standard_normal((20, 8)), generator.integers(20, size=2000)
    x, truth = means[cluster] + generator.standard_normal((2000, 8)), cluster % 5
    generator.permutation(5)
    becomes = (np.arange(5) + generator.integers(1, 5, size=5)) % 5
    given = np.where(generator.random(2000) < 0.4, becomes[truth], truth)
    noise, x = 0.6 * np.eye(5) + 0.4 * np.eye(5)[becomes], (x - x.mean(0)) / x.std(0)
    labels = Labels(given, np.zeros(2000, dtype=bool))
    found = cross_fitted(x, labels, 5, 0)
    assert (found.log_true.argmax(1) == truth).mean() > 0.95
    np.testing.assert_allclose(found.transition, noise, atol=0.07)
    monkeypatch.setattr(cross_fitting._Heads, "started_again", lambda self: self.predictions)
    first = cross_fitted(x, labels, 5, 0)
    assert (first.log_true.argmax(1) == truth).mean() < 0.85
    assert np.abs(first.transition - noise).max() > 0.2

"""Tests of the features of Gaussian kernels."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.label_issues.kernel_features import NARROWER, with_kernel


@pytest.mark.parametrize("narrower", NARROWER)
def test_the_kernel_stands_beside_the_features(narrower: float) -> None:
    x = np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)
    found = with_kernel(x, narrower, 0)
    assert found.shape == (400, 203)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :3], x)
    np.testing.assert_allclose(found[:, 3:].mean(0), 0, atol=1e-5)
    assert found[:, 3:].var(0).mean() == pytest.approx(0.3, rel=1e-4)


def test_products_of_components_are_those_of_the_centred_kernel() -> None:
    x = np.random.default_rng(0).standard_normal((200, 3))  # no more examples than components, so that it is exact
    part = with_kernel(x, 1.0, 0)[:, 3:]
    exact = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / 6)
    centre = np.eye(200) - 1 / 200
    exact = centre @ exact @ centre
    np.testing.assert_allclose(part @ part.T / np.trace(part @ part.T), exact / np.trace(exact), atol=1e-6)


@pytest.mark.parametrize("columns", [1, 3])
def test_few_different_examples_have_the_same_kernel_in_both_precisions(columns: int) -> None:
    x = np.random.default_rng(0).integers(0, 2, (500, columns)).astype(float)
    single, double = (with_kernel(x.astype(dtype), 1.0, 0)[:, columns:] for dtype in (np.float32, np.float64))
    np.testing.assert_allclose(single @ single.T, double @ double.T, atol=1e-3 * np.abs(double @ double.T).max())


def test_constant_features_have_no_kernel() -> None:
    np.testing.assert_array_equal(with_kernel(np.zeros((100, 2)), 1.0, 0), 0)


@pytest.mark.parametrize("columns", [1, 30])
def test_an_example_unlike_all_others_stands_out_of_rounding_errors(columns: int) -> None:
    x = np.zeros((5000, columns))
    x[0, 0] = 1
    distance = np.linalg.norm((found := with_kernel(x, 1.0, 0)[:, columns:]) - found[1], axis=1)
    assert distance[0] > 1000 * distance[1:].max()

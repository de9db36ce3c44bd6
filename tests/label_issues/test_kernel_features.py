"""Tests of the features of Gaussian kernels."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.label_issues.kernel_features import designs


def test_first_design_is_the_features_and_the_others_have_a_kernel_beside_them() -> None:
    x = np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)
    found = list(designs(x, 10**9, 0))
    assert [design.shape for design in found] == [(400, 3)] + 3 * [(400, 303)]
    for design in found:
        np.testing.assert_array_equal(design[:, :3], x)
        np.testing.assert_allclose(design[:, 3:].mean(0), 0, atol=1e-5)
    for design in found[1:]:
        assert design[:, 3:].var(0).mean() == pytest.approx(0.3, rel=1e-4)


def test_products_of_components_are_those_of_the_centred_kernel() -> None:
    x = np.random.default_rng(0).standard_normal((200, 3))  # no more examples than components, so that it is exact
    part = list(designs(x, 10**9, 0))[1][:, 3:]
    exact = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / 6)
    centre = np.eye(200) - 1 / 200
    exact = centre @ exact @ centre
    np.testing.assert_allclose(part @ part.T / np.trace(part @ part.T), exact / np.trace(exact), atol=1e-6)


def test_there_are_no_kernels_beyond_a_number_of_elements() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 3))
    assert len(list(designs(x, 1000 * 303, 0))) == 4
    assert len(list(designs(x, 1000 * 303 - 1, 0))) == 1


def test_constant_features_have_no_kernels() -> None:
    assert len(list(designs(np.zeros((100, 2)), 10**9, 0))) == 1

"""Which columns vary, up to rounding errors."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.data import mean_and_std
from vri_pyro.data.statistics import varies
from vri_pyro.label_issues.from_arrays import _standardised

CONSTANTS = [0.1, 1 / 3, -0.7, 1e8 / 3, 1e-9 / 3, 0.0, 5.0, 3e38]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("count", [3, 1000, 100_001])
def test_constant_columns_are_standardised_to_0(count: int, dtype: type) -> None:
    x = np.tile(np.array([*CONSTANTS, 0.0], dtype=dtype), (count, 1))
    x[:, -1] = np.arange(count)
    found = _standardised(x)
    assert (found[:, :-1] == 0).all()
    np.testing.assert_allclose([found[:, -1].mean(), found[:, -1].std()], [0, 1], atol=1e-5)
    std = mean_and_std(x)[1]
    assert (std[:-1] == 0).all()
    assert std[-1] > 0


def test_rounding_errors_are_no_variation_but_small_differences_are() -> None:
    least = np.array([0.1, 0.3 - 0.2, 1.7e9, 1e-30, 0.0, -0.0])
    greatest = np.array([0.1, 0.1, 1.7e9 + 1, 2e-30, 1e-300, 0.0])
    assert varies(least, greatest).tolist() == [False, False, True, True, True, False]

"""Warnings of values beside which all others of a column look equal."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs

from vri_pyro import VRIClassifier, find_label_issues
from vri_pyro.data.outliers import warn_of_outliers
from vri_pyro.data.stored import StoredVectors


def _vectors(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    x, y = make_blobs(count, n_features=3, random_state=0)
    x[7, 1] = 1e8
    return x, y


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("count", [50, 300, 100_000])
def test_an_outlier_is_named_with_its_column_and_example(count: int, dtype: type) -> None:
    x = (100 * np.random.default_rng(0).standard_normal((count, 3))).astype(dtype)
    x[7, 1] = 1e9
    with pytest.warns(UserWarning, match=r"column 1 of X has the outlier 1e\+09 in example 7: half of its values lie"):
        warn_of_outliers("X", x)
    with pytest.warns(UserWarning, match="column 'income' of X has .*; correct or drop such values, or take log"):
        warn_of_outliers("X", x, ["age", "income", "size"])


def test_other_columns_with_outliers_are_counted() -> None:
    x, _ = _vectors()
    x[9, 2] = -1e8
    with pytest.warns(UserWarning, match=r"ranks of the column \(1 more column has such values\)$"):
        warn_of_outliers("X", x)


def test_stored_vectors_are_checked_too() -> None:
    x, _ = _vectors()
    with pytest.warns(UserWarning, match="column 1 of x_train has the outlier"):
        warn_of_outliers("x_train", StoredVectors([x[:100].astype(np.float32), x[100:].astype(np.float32)]))


@pytest.mark.parametrize("seed", range(5))
def test_columns_with_long_tails_sparse_and_constant_columns_are_no_outliers(seed: int) -> None:
    generator, count = np.random.default_rng(seed), 20_000
    sparse = np.where(generator.random(count) < 0.01, 1e6 * generator.random(count), 0)
    columns = [
        generator.lognormal(10, 1.5, count),  # incomes
        generator.pareto(1.1, count),  # sizes of cities
        generator.negative_binomial(0.1, 0.001, count),  # counts
        generator.standard_cauchy(count),
        generator.standard_t(2, count),
        generator.random(count) < 0.3,
        sparse,
        np.full(count, 0.1),
        1.7e9 + generator.random(count),  # seconds since 1970
        np.where(generator.random(count) < 0.3, generator.lognormal(3, 2, count), 0),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_outliers("X", np.stack(columns, axis=1).astype(np.float64))
        warn_of_outliers("X", np.zeros((5, 8, 8, 1), dtype=np.float32))
        warn_of_outliers("X", generator.integers(0, 256, (50, 4), dtype=np.uint8))


def test_label_issues_and_the_classifier_warn() -> None:
    x, y = _vectors()
    frame = pd.DataFrame(x, columns=["age", "income", "size"])
    message = r"column 'income' of {} has the outlier 1e\+08 in example 7"
    with pytest.warns(UserWarning, match=message.format("features")) as caught:
        find_label_issues(y, features=frame, trusted=range(0, 300, 5))
    assert Path(caught[0].filename) == Path(__file__)
    with pytest.warns(UserWarning, match=message.format("X")) as caught:
        VRIClassifier("cross_entropy", epochs=1).fit(frame, y)
    assert Path(caught[0].filename) == Path(__file__)

"""Fixtures: small synthetic data sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vri_pyro.data import Arrays


@pytest.fixture
def blobs() -> Arrays:
    """Vectors of three classes, with 20 training and 4 test examples per class."""
    return make_arrays(num_classes=3, per_class=20)


def make_arrays(
    num_classes: int,
    per_class: int,
    y_train: np.ndarray | None = None,
    y_train_clean: np.ndarray | None = None,
    clean_indices: np.ndarray | None = None,
) -> Arrays:
    """Make a balanced set of vectors with cyclic labels 0, 1, ..., K-1, 0, 1, ...."""
    count = num_classes * per_class
    labels = np.arange(count) % num_classes
    return Arrays(
        x_train=np.linspace(0, 1, count * 2, dtype=np.float32).reshape(count, 2),
        y_train=labels if y_train is None else y_train,
        x_test=np.zeros((num_classes * 4, 2), dtype=np.float32),
        y_test=np.arange(num_classes * 4) % num_classes,
        classes=tuple(f"class {number}" for number in range(num_classes)),
        y_train_clean=y_train_clean,
        clean_indices=clean_indices,
    )


@pytest.fixture(scope="session")
def arrays_of() -> Callable[..., Arrays]:
    """The factory :func:`make_arrays`, for tests that need other sizes."""
    return make_arrays

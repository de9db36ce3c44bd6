"""Fixtures: small synthetic data sets, and real image packs if they are available."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.data import Arrays

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


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


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that unpacks a shared image pack by name; skips the test if the packs are missing."""
    folder = Path(os.environ.get("VRI_SHARED_DATA", SHARED_DATA))
    if not (folder / "unpack.py").is_file():
        pytest.skip(f"no image packs in {folder}; set VRI_SHARED_DATA to the folder that holds unpack.py")
    out = tmp_path_factory.mktemp("unpacked")

    def unpack(name: str) -> Path:
        path = out / f"{name}.npz"
        if not path.exists():
            subprocess.run([sys.executable, folder / "unpack.py", out, name], check=True, capture_output=True)
        return path

    return unpack

"""Arrays: accepted inputs, canonical forms, and error messages for invalid inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vri_pyro.data import Arrays
from vri_pyro.utils.errors import UserError

CLASSES = ("cat", "dog", "hen")


def _arrays(**changes: Any) -> Arrays:
    sound: dict[str, Any] = {
        "x_train": np.zeros((6, 4, 5, 3), dtype=np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": np.zeros((3, 4, 5, 3), dtype=np.uint8),
        "y_test": np.array([0, 1, 2]),
        "classes": CLASSES,
    }
    return Arrays(**(sound | changes))


def _floats(value: float, dtype: type = np.float32) -> np.ndarray:
    x: np.ndarray = np.zeros((6, 4), dtype=dtype)
    x[4, 2] = value
    return x


def test_colour_images_have_channels_first_in_their_input_shape() -> None:
    arrays = _arrays()
    assert arrays.input_shape == (3, 4, 5)
    assert arrays.num_classes == 3


def test_grey_images_get_their_channel() -> None:
    arrays = _arrays(x_train=np.zeros((6, 4, 5), np.uint8), x_test=np.zeros((3, 4, 5), np.uint8))
    assert arrays.x_train.shape == (6, 4, 5, 1)
    assert arrays.input_shape == (1, 4, 5)


def test_vectors_become_float32() -> None:
    arrays = _arrays(x_train=np.zeros((6, 4)), x_test=np.zeros((3, 4), np.float16))
    assert arrays.input_shape == (4,)
    assert arrays.x_train.dtype == arrays.x_test.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_dtype_become_int64(dtype: type) -> None:
    assert _arrays(y_train=np.array([0, 1, 2, 0, 1, 2], dtype=dtype)).y_train.dtype == np.int64


def test_large_inputs_are_searched_for_nan_to_the_end() -> None:
    x = np.zeros((9000, 2), dtype=np.float32)
    x[8999, 1] = np.nan
    with pytest.raises(UserError, match=r"x_train\[8999, 1\] is NaN"):
        _arrays(x_train=x, y_train=np.zeros(9000, dtype=int), x_test=np.zeros((3, 2), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": [[1.0]]}, "x_train is a list; expected a NumPy array"),
        ({"x_train": np.zeros(6, np.uint8)}, r"x_train has shape \(6,\); expected images"),
        ({"x_train": np.zeros((0, 4, 5, 3), np.uint8)}, "x_train is empty"),
        ({"x_test": np.zeros((0, 4, 5, 3), np.uint8)}, "x_test is empty"),
        ({"x_train": np.zeros((6, 4, 5, 3), np.int64)}, "x_train has dtype int64; convert it to uint8"),
        ({"x_train": np.zeros((6, 4, 5, 3), bool)}, "x_train has dtype bool"),
        ({"x_train": np.zeros((6, 3, 32, 32), np.uint8)}, r"x_train .* looks like \[N, C, H, W\]"),
        ({"x_train": _floats(np.nan)}, r"x_train\[4, 2\] is NaN; fill in missing values"),
        ({"x_train": _floats(-np.inf)}, r"x_train\[4, 2\] is -inf"),
        ({"x_train": _floats(1e300, np.float64)}, r"x_train\[4, 2\] is 1e\+300"),
        ({"x_test": np.zeros((3, 4, 4, 3), np.uint8)}, r"x_test has examples of shape \(4, 4, 3\) but"),
        ({"x_test": np.zeros((3, 4, 5, 3), np.float32)}, "x_test is float32 but x_train is uint8"),
        ({"y_train": np.zeros(6)}, r"y_train has dtype float64 .* \.astype\('int64'\)"),
        ({"y_test": np.zeros(3, bool)}, "y_test has dtype bool but must have an integer dtype"),
        ({"y_train": [0, 1, 2, 0, 1, 2]}, "y_train is a list"),
        (
            {"y_train": np.zeros((6, 3), int)},
            r"y_train has shape \(6, 3\); expected a one-dimensional array of integers",
        ),
        ({"y_train": np.zeros(5, int)}, "y_train has 5 labels for 6 examples"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 2])}, r"y_train\[2\] is -1; labels are 0 to 2"),
        ({"y_test": np.array([0, 3, 1])}, r"y_test\[1\] is 3; labels are 0 to 2"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 2**63], np.uint64)}, r"y_train\[5\] is 9223372036854775808"),
        ({"y_train_clean": np.array([0, 1, 2, 0, 1, 9])}, r"y_train_clean\[5\] is 9"),
        ({"clean_indices": np.array([0, 6])}, r"clean_indices\[1\] is 6; the training set has 6 examples"),
        ({"clean_indices": np.array([-1, 2])}, r"clean_indices\[0\] is -1"),
        ({"clean_indices": np.array([3, 1, 3])}, "clean_indices contains index 3 more than once"),
        ({"clean_indices": np.zeros(6, bool)}, r"clean_indices has dtype bool .*flatnonzero"),
        ({"clean_indices": np.array([0]), "y_train_clean": np.zeros(6, int)}, "Both y_train_clean and clean"),
        ({"classes": ("cat",)}, "There is 1 class;"),
        ({"classes": ("cat", "dog", "cat")}, "class name 'cat' occurs more than once"),
    ],
)
def test_bad_arrays_are_named_with_the_remedy(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _arrays(**changes)


def test_column_that_float32_blurs_is_named_in_a_warning() -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 3))
    labels = np.arange(50) % 2
    x[:, 1] = 1.7e9 + 10 * x[:, 1]
    with pytest.warns(
        UserWarning, match=r"x_train is converted to float32, which blurs column 1: its values vary by about"
    ):
        Arrays(x, labels, None, None, ("a", "b"))
    x[:, 1] -= 1.7e9
    x[:, 2] = 1e12  # constant: nothing is lost
    Arrays(x, labels, None, None, ("a", "b"))
    Arrays((x + 1e9).astype(np.float32), labels, None, None, ("a", "b"))  # was blurred by others

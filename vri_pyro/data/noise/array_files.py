"""Reading the small files that recipes take labels and matrices from; nothing in them is unpickled at will."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct

from vri_pyro.utils.errors import UserError

# What torch.load raises, by kind of damage, for bytes that are no sound file of tensors and arrays; the
# SystemError is NumPy's, for a damaged dtype.
_UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, SystemError, pickle.UnpicklingError)
# All that pickled integer arrays call, under the names of NumPy 2 and of NumPy 1, which wrote CIFAR-10N.
_PLAIN_ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in np.typecodes["AllInteger"]),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
]


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file.

    Raises:
        UserError: the file is missing, damaged, or holds Python objects.
    """
    _check_is_file(path, "an .npy file, written by numpy.save")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is no sound .npy file of numbers; write it with numpy.save.") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{path} is an .npz file by its contents; name it so.")
    return array


def read_csv(path: Path) -> np.ndarray:
    """The matrix of a .csv file of comma-separated numbers, without a header: float64 [rows, columns].

    Raises:
        UserError: the file is missing, or is no matrix of numbers.
    """
    expected = "rows of comma-separated numbers, without a header"
    _check_is_file(path, expected)
    try:
        # NumPy warns of an empty file, whose matrix then has the wrong shape, which the caller reports.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            return np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no matrix ({error}); expected are {expected}.") from error


def read_pt(path: Path, required: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The named arrays of a .pt file that holds a dict of integer arrays or tensors, as CIFAR-10N's does.

    PyTorch's restricted unpickler reads it, which builds arrays and tensors but calls nothing else.

    Args:
        path: the file.
        required: keys that must be there.
        optional: keys that are returned where they are there; all others are ignored.

    Raises:
        UserError: the file is missing, damaged, holds other objects, or lacks a key.
    """
    expected = "a .pt file, written by torch.save, with a dict of integer arrays"
    _check_is_file(path, expected)
    try:
        # PyTorch warns of files that it then refuses; the error below says as much.
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),
            torch.serialization.safe_globals(_PLAIN_ARRAYS),
            path.open("rb") as file,
        ):
            contents = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(f"{path} is damaged or holds Python objects; expected is {expected}.") from error
    if not isinstance(contents, dict):
        raise UserError(f"{path} holds a {type(contents).__name__}; expected is {expected}.")
    missing = [key for key in required if key not in contents]
    if missing:
        found = ", ".join(map(str, contents)) or "nothing"
        raise UserError(f"{path} lacks {', '.join(missing)} (it holds {found}); expected is {expected}.")
    wanted = [*required, *(key for key in optional if key in contents)]
    return {key: _as_array(path, key, contents[key]) for key in wanted}


def _as_array(path: Path, key: str, value: object) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(f"{key} in {path} is a {type(value).__name__}; save a NumPy array or a tensor.")
    return value


def _check_is_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"There is no file {path}; expected is {expected}.")

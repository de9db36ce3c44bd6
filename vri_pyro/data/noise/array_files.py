"""Safe readers for files with labels and matrices, without arbitrary unpickling."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct

from vri_pyro.data.declared_size import check_memory, check_npy
from vri_pyro.utils.errors import UserError

# Exceptions of torch.load for damaged files, which depend on the damage. NumPy raises the SystemError for a damaged
# dtype.
_UNREADABLE = (
    *(OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, SystemError, MemoryError),
    pickle.UnpicklingError,
)
# All callables that a pickled integer array needs, under their names in NumPy 2 and in NumPy 1, which wrote CIFAR-10N.
_PLAIN_ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in np.typecodes["AllInteger"]),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
]


def read_npy(path: Path) -> np.ndarray:
    """Read the array of an .npy file.

    Raises:
        UserError: the file is missing, damaged or too large for memory, or contains Python objects.
    """
    _check_is_file(path, "an .npy file, written by numpy.save")
    try:
        check_npy(path)
        array = np.load(path, allow_pickle=False)
    except UserError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a valid .npy file of numbers; write it with numpy.save.") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{path} has the contents of an .npz file; change its extension to .npz.")
    return array


def read_csv(path: Path) -> np.ndarray:
    """Read the matrix of a .csv file without a header, float64 [rows, columns].

    Raises:
        UserError: the file is missing, or does not contain a matrix of comma-separated numbers.
    """
    expected = "rows of comma-separated numbers, without a header"
    _check_is_file(path, expected)
    try:
        # NumPy warns about an empty file; the caller reports the wrong shape of its matrix.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            return np.loadtxt(path, delimiter=",", dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not contain a matrix ({error}); expected {expected}.") from error


def read_pt(path: Path, required: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read named arrays from a .pt file with a dict of integer arrays or tensors, such as CIFAR-10N's.

    The file is read by PyTorch's restricted unpickler, which builds arrays and tensors and calls nothing else.

    Args:
        path: the file.
        required: keys that must exist.
        optional: keys that are returned if they exist; all other keys are ignored.

    Raises:
        UserError: the file is missing or damaged, contains other objects, or lacks a required key.
    """
    expected = "a .pt file, written by torch.save, with a dict of integer arrays"
    _check_is_file(path, expected)
    _check_members(path)
    try:
        # PyTorch warns about files before it rejects them; the error below is sufficient.
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),
            torch.serialization.safe_globals(_PLAIN_ARRAYS),
            path.open("rb") as file,
        ):
            contents = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(f"{path} is damaged or contains Python objects; expected {expected}.") from error
    if not isinstance(contents, dict):
        raise UserError(f"{path} contains a {type(contents).__name__}; expected {expected}.")
    missing = [key for key in required if key not in contents]
    if missing:
        found = ", ".join(map(str, contents)) or "nothing"
        raise UserError(f"{path} lacks {', '.join(missing)} (it contains {found}); expected {expected}.")
    wanted = [*required, *(key for key in optional if key in contents)]
    return {key: _as_array(path, key, contents[key]) for key in wanted}


def _check_members(path: Path) -> None:
    """Check the declared size of the members of a .pt file, which is a zip archive unless PyTorch is very old."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return
    check_memory(f"The contents of {path}", size)


def _as_array(path: Path, key: str, value: object) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(f"{key} in {path} is a {type(value).__name__}; save a NumPy array or a tensor.")
    return value


def _check_is_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise UserError(f"The file {path} does not exist; expected {expected}.")

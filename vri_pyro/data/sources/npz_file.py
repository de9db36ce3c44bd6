"""A user's own arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.npz import names_in, read_npz
from vri_pyro.data.sources.base import Source
from vri_pyro.utils.errors import UserError

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_LABELS = ("y_train", "y_test", "y_train_clean")
_OPTIONAL = ("y_train_clean", "clean_indices", "validation_indices", "classes")


@dataclass(frozen=True)
class NpzFile(Source):
    """An .npz file with ``x_train``, ``y_train``, ``x_test`` and ``y_test``, shaped as in :class:`Arrays`.

    Optional keys: ``y_train_clean`` or ``clean_indices`` (not both) and, with the latter, ``validation_indices``, as in
    :class:`Arrays`; and ``classes``, the class names as strings [K]. Without ``classes`` the labels must be 0..K-1
    without a gap, and the names are those numbers.

    Attributes:
        path: the file. Nothing in it is unpickled.
        open_set: whether a true label of -1 stands for "none of the classes" rather than being a mistake.
        verified: false for a ``y_train`` as observed, of which nothing is known to be right; see :class:`Arrays`.
    """

    path: str | Path
    open_set: bool = False
    verified: bool = True

    def load(self) -> Arrays:
        """Read and check the file.

        Raises:
            UserError: the file is missing or damaged, lacks an array, or an array is unusable.
        """
        arrays: dict[str, Any] = read_npz(Path(self.path), _REQUIRED, _OPTIONAL)
        known = {*_REQUIRED, *_OPTIONAL}
        if unread := sorted(set(names_in(Path(self.path))) - known):
            # A mistyped clean_indices, unnoticed, would have noise injected into labels that are noisy already.
            warnings.warn(
                f"{self.path} holds {', '.join(unread)}, which is not read; known are {', '.join(sorted(known))}",
                stacklevel=2,
            )
        names = arrays.pop("classes", None)
        try:
            classes = _numbered_names(arrays) if names is None else _stored_names(names)
            return Arrays(classes=classes, open_set=self.open_set, verified=self.verified, **arrays)
        except UserError as error:
            raise UserError(f"In {self.path}: {error}") from error


def _stored_names(names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"classes has dtype {names.dtype} and shape {names.shape}; give strings [K].")
    return tuple(names.tolist())


def _numbered_names(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Name the classes 0..K-1 by the labels that occur; Arrays reports what is no label."""
    integers = [arrays[key] for key in _LABELS if key in arrays and arrays[key].dtype.kind in "iu"]
    occurring = sorted({int(label) for labels in integers for label in np.unique(labels) if label >= 0})
    gap = next((number for number, label in enumerate(occurring) if number != label), None)
    if gap is not None:
        raise UserError(
            f"No label is {gap} although the largest is {occurring[-1]}; number the classes from 0 without "
            "a gap, or store their names as `classes`."
        )
    return tuple(str(number) for number in range(len(occurring) or 2))

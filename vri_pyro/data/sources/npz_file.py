"""Custom data sets in an .npz file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.class_labels import number_labels
from vri_pyro.data.npz import names_in, read_npz
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import warn_of_no_trusted_labels, warn_of_similar_classes
from vri_pyro.data.verified import number_verified
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import checked_path
from vri_pyro.utils.spelling import check_spelling

_REQUIRED = ("x_train", "y_train")
_LABELS = ("y_train", "y_test", "y_train_clean")
_OPTIONAL = ("x_test", "y_test", "y_train_clean", "clean_indices", "validation_indices", "verified", "classes")
# If a misspelt clean_indices went unnoticed, noise would be injected into labels that are already noisy.
_MEANT = {name: name for name in _OPTIONAL} | {"trusted": "clean_indices"}


@dataclass(frozen=True)
class NpzFile(Source):
    """Arrays from an .npz file with the keys x_train and y_train, and optionally x_test and y_test.

    Shapes and dtypes are those of :class:`~vri_pyro.data.arrays.Arrays`. Further optional keys are ``y_train_clean`` or
    ``clean_indices`` (not both), ``validation_indices`` (only with ``clean_indices``), and ``classes``, the class names
    as strings [K]. Labels are class names as strings, or numbers 0..K-1. Without ``classes``, the classes are the
    sorted strings, or the numbers, which must then have no gaps. Trusted examples must be a random sample of each
    class, not the first rows or the easiest examples. An unknown key is an error if it resembles one of these, and a
    warning otherwise.

    The key ``verified`` holds the checked class of each training example beside its label as given, [N], and -1 or an
    empty string where nobody has looked. An example with a checked class is trusted, and both labels are used.

    Attributes:
        path: the .npz file. Nothing in it is unpickled.
        open_set: whether a true label of -1 marks an example that belongs to none of the classes. If false, it is an
            error.
        verified: whether ``y_train`` is known to be correct when the file has neither ``y_train_clean`` nor
            ``clean_indices``, as in a benchmark. If true, noise can be injected into them and a clean set drawn from
            them without a warning.
    """

    path: str | Path
    open_set: bool = False
    verified: bool = False

    def load(self) -> Arrays:
        """Read and validate the file.

        Raises:
            UserError: the file is missing or damaged, an array is missing, or an array is invalid.

        Warns:
            UserWarning: the file contains unknown keys.
        """
        path = checked_path("path", self.path)
        arrays: dict[str, Any] = read_npz(path, _REQUIRED, _OPTIONAL)
        known = {*_REQUIRED, *_OPTIONAL}
        if unread := sorted(set(names_in(path)) - known):
            check_spelling(f"{self.path}", unread, _MEANT, "array")
            warnings.warn(
                f"{self.path} contains unknown keys {', '.join(unread)}, which are ignored; known keys are "
                f"{', '.join(sorted(known))}",
                stacklevel=2,
            )
        names = arrays.pop("classes", None)
        try:
            classes = _classes(arrays, None if names is None else _stored_names(names))
            warn_of_similar_classes(classes)
            of_names = arrays["y_train"].dtype.kind == "U"
            for key in _LABELS:
                if key in arrays and arrays[key].dtype.kind == "U":
                    arrays[key] = number_labels(key, arrays[key], classes).numbers
            if not self.verified and not {"clean_indices", "y_train_clean", "verified"} & arrays.keys():
                warn_of_no_trusted_labels(f"{self.path}", "add clean_indices, the positions of checked labels")
            parts = {"x_test": None, "y_test": None} | arrays
            if (checked := parts.pop("verified", None)) is not None:
                parts["verified_labels"] = _checked(checked, arrays["y_train"], of_names, classes)
            return Arrays(classes=classes, open_set=self.open_set, verified=self.verified, **parts)
        except UserError as error:
            raise UserError(f"In {self.path}: {error}") from error


def _classes(arrays: dict[str, np.ndarray], stored: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the class names: those stored, the sorted labels if they are strings, otherwise the class numbers."""
    kinds = {arrays[key].dtype.kind == "U" for key in _LABELS if key in arrays}
    if len(kinds) > 1:
        listed = ", ".join(f"{key} {arrays[key].dtype}" for key in _LABELS if key in arrays)
        raise UserError(f"Labels are partly strings and partly numbers ({listed}); use the same type for all.")
    if stored is not None:
        return stored
    if True not in kinds:
        return _numbered_names(arrays)
    return tuple(sorted({str(label) for key in _LABELS if key in arrays for label in np.unique(arrays[key])}))


def _checked(verified: np.ndarray, labels: np.ndarray, of_names: bool, classes: tuple[str, ...]) -> np.ndarray:
    """Return the checked classes as numbers; :class:`~vri_pyro.data.arrays.Arrays` reports invalid numbers."""
    if verified.dtype.kind == "U":
        return number_verified("verified", verified, classes, len(labels))
    if of_names:
        raise UserError(
            f"verified has dtype {verified.dtype} but the labels are strings; store the names of the checked classes, "
            "and empty strings where nobody has looked."
        )
    return verified


def _stored_names(names: np.ndarray) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"classes has dtype {names.dtype} and shape {names.shape}; expected strings [K].")
    return tuple(names.tolist())


def _numbered_names(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Name the classes 0..K-1 by their numbers; :class:`~vri_pyro.data.arrays.Arrays` reports invalid labels."""
    integers = [arrays[key] for key in _LABELS if key in arrays and arrays[key].dtype.kind in "iu"]
    occurring = sorted({int(label) for labels in integers for label in np.unique(labels) if label >= 0})
    gap = next((number for number, label in enumerate(occurring) if number != label), None)
    if gap is not None:
        raise UserError(
            f"No label is {gap} although the largest label is {occurring[-1]}; number the classes from 0 without "
            "gaps, or store the class names as `classes`."
        )
    return tuple(str(number) for number in range(len(occurring) or 2))

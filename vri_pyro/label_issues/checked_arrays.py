"""Validation of the arrays of :func:`~vri_pyro.label_issues.find_label_issues`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vri_pyro.data.alignment import check_same_rows
from vri_pyro.data.class_labels import number_labels, shown_classes
from vri_pyro.data.outliers import warn_of_outliers
from vri_pyro.data.validation import (
    UNCHECKED,
    check_agreement,
    check_array,
    check_single_precision,
    check_trusted,
)
from vri_pyro.data.verified import number_verified
from vri_pyro.utils.errors import UserError, UserTypeError

CHUNK_VALUES = 4_000_000  # number of values of an array that are converted to float64 at a time
_SUM = 0.01  # largest difference from one of the sum of a row of probabilities, for rounded or half-precision values


class CheckedArrays(NamedTuple):
    """Valid arrays about N examples of K classes.

    Attributes:
        codes: position of each given label in ``classes``, int64 [N].
        classes: the classes, K Python or NumPy values.
        pred_probs: class probabilities, [N, K], unconverted; None if there are none.
        features: features, [N, D], unconverted, or images, uint8 or float32 [N, H, W, C]; None if there are none.
        trusted: whether the class of each example is known, bool [N]: its label is trusted, or its class was verified.
        verified: positions of the verified classes in ``classes``, int64 [N], -1 for examples that have none; None if
            they were not passed.
    """

    codes: np.ndarray
    classes: list[Hashable]
    pred_probs: np.ndarray | None
    features: np.ndarray | None
    trusted: np.ndarray
    verified: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Position of the class of each trusted example, and of the given label of each other one, int64 [N]."""
        return self.codes if self.verified is None else np.where(self.verified == UNCHECKED, self.codes, self.verified)

    @property
    def checked(self) -> np.ndarray:
        """Whether the class of each example was verified, bool [N]."""
        return np.zeros(len(self.codes), dtype=bool) if self.verified is None else self.verified != UNCHECKED

    @property
    def earlier(self) -> np.ndarray:
        """Position of the noisy label of each verified example, -1 for all other examples, int64 [N]."""
        return np.where(self.checked, self.codes, -1)


def checked_arrays(
    labels: Any, pred_probs: Any, features: Any, trusted: Any, classes: Any, verified: Any = None
) -> CheckedArrays:
    """Check the arguments of :func:`~vri_pyro.label_issues.find_label_issues`, which describes them.

    Probabilities and features are read chunk by chunk and are not copied.

    Raises:
        UserError: a value, a shape or a length is invalid.
        UserTypeError: a type is invalid.
    """
    if pred_probs is None and features is None:
        raise UserError("pred_probs and features are both None; pass out-of-sample probabilities, features, or both.")
    check_same_rows(labels=labels, pred_probs=pred_probs, features=features, trusted=trusted, verified=verified)
    codes, known = _checked_labels(labels, classes)
    if pred_probs is not None:
        pred_probs = _checked_probabilities(pred_probs, len(codes), known, classes is not None)
    if features is not None:
        features = _checked_features(features, len(codes))
    positions, numbers = check_trusted("trusted", trusted, len(codes)), None
    if verified is not None:
        numbers = number_verified("verified", verified, known, len(codes))
        check_agreement("verified", numbers, "trusted", positions, codes, known)
        positions = np.union1d(positions, np.flatnonzero(numbers != UNCHECKED))
    return CheckedArrays(codes, known, pred_probs, features, _mask(positions, len(codes)), numbers)


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Yield slices of rows with at most :data:`CHUNK_VALUES` values."""
    rows = max(1, CHUNK_VALUES // max(1, array.shape[1]))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def _checked_labels(labels: Any, classes: Any) -> tuple[np.ndarray, list[Hashable]]:
    numbers, known = number_labels("labels", labels, classes)
    if len(numbers) < 2:
        raise UserError(f"labels has {len(numbers)} values; expected at least two.")
    if len(known) < 2:
        raise UserError(
            f"labels contain only the class {known[0]!r}; label errors can be found among at least two classes, so "
            "pass classes=[...] if other classes exist."
        )
    return numbers, known


def _matrix(name: str, values: Any, count: int, columns: str) -> np.ndarray:
    """Return numbers [count, any], without a copy of an array."""
    if hasattr(values, "toarray"):
        raise UserTypeError(f"{name} is a sparse {type(values).__name__}; convert it with .toarray().")
    if isinstance(values, pd.DataFrame):
        values = _numbers_of_table(name, values)
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asanyarray(values)
    if array.dtype.kind not in "fiub":
        raise UserTypeError(f"{name} has dtype {array.dtype}; convert it to a floating-point array [N, {columns}].")
    if array.ndim != 2:
        raise UserError(f"{name} has shape {array.shape}; expected two dimensions, [N, {columns}].")
    _check_count(name, array, count)
    return array


def _check_count(name: str, array: np.ndarray, count: int) -> None:
    if len(array) != count:
        raise UserError(f"{name} has {len(array)} rows for {count} labels; expected one row per label.")


def _numbers_of_table(name: str, table: pd.DataFrame) -> np.ndarray:
    """Return the values of a table; missing ones of pandas' own types become NaN."""
    for column, dtype in zip(table.columns, table.dtypes, strict=True):
        if not pd.api.types.is_numeric_dtype(dtype):
            raise UserTypeError(f"column {column!r} of {name} has dtype {dtype}; drop it or encode it as numbers.")
    plain = all(isinstance(dtype, np.dtype) for dtype in table.dtypes)
    return table.to_numpy() if plain else table.to_numpy(dtype=np.float64, na_value=np.nan)


def _in_order_of(classes: list[Hashable], values: Any) -> Any:
    """Return a table whose columns are the classes in their order; an array or a table with other names as it is."""
    names = list(getattr(values, "columns", ()))
    if len(names) != len(classes) or names == list(range(len(names))):
        return values
    exact = [[i for i, name in enumerate(names) if name == label or str(name) == str(label)] for label in classes]
    stems, wanted = _stems(names), _stems(classes)
    similar = [[i for i, stem in enumerate(stems) if stem == label] for label in wanted]
    order = exact if all(len(places) == 1 for places in exact) else similar
    if any(len(places) != 1 for places in order):
        if not any(exact):
            return values
        raise UserError(
            f"pred_probs has the columns {shown_classes(names)} for the classes {shown_classes(classes)}; name every "
            "column as its class, or pass an array whose columns are in the order of the classes."
        )
    places = [place for (place,) in order]
    if places == sorted(places):
        return values
    return values.iloc[:, places] if isinstance(values, pd.DataFrame) else np.asarray(values)[:, places]


def _stems(names: list[Hashable]) -> list[str]:
    """Return names without the prefix that all have, such as "p_", in small letters, and 2.0 as "2"."""
    texts = [str(name).casefold().removesuffix(".0") for name in names]
    ends = (at for at, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1)
    prefix = next(ends, min(map(len, texts)))
    return [text[prefix:] for text in texts]


def _checked_probabilities(values: Any, count: int, classes: list[Hashable], listed: bool) -> np.ndarray:
    array = _matrix("pred_probs", _in_order_of(classes, values), count, "classes")
    if array.shape[1] != len(classes):
        remedy = "one column per class is needed" if listed else "pass classes=[...] with the class of every column"
        origin = "classes has" if listed else "labels have"
        expected = f"{len(classes)} classes ({shown_classes(classes)})"
        raise UserError(f"pred_probs has {array.shape[1]} columns but {origin} {expected}; {remedy}.")
    for rows in row_chunks(array):
        part = array[rows].astype(np.float64)
        _raise_first(~np.isfinite(part), "pred_probs", array, rows, "replace or remove the example")
        _raise_first(part < 0, "pred_probs", array, rows, "probabilities are at least 0 (apply softmax to logits)")
        sums = part.sum(1)
        wrong = np.abs(sums - 1) > _SUM
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(
                f"pred_probs[{rows.start + row}] sums to {sums[row]:.4g}; every row must sum to one (apply softmax to "
                "logits)."
            )
    return array


def _checked_features(values: Any, count: int) -> np.ndarray:
    if getattr(values, "ndim", 2) in (3, 4):
        images = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        _check_count("features", images, count)
        return check_array("features", images)
    array = _matrix("features", values, count, "dimensions")
    if array.shape[1] == 0:
        raise UserError("features has no columns; expected at least one feature per example.")
    columns = list(values.columns) if isinstance(values, pd.DataFrame) else None
    check_single_precision("features", array, columns)
    warn_of_outliers("features", array, columns)
    return array


def _raise_first(wrong: np.ndarray, name: str, array: np.ndarray, rows: slice, remedy: str) -> None:
    if wrong.any():
        row, column = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
        value = array[rows.start + row, column]
        raise UserError(f"{name}[{rows.start + row}, {column}] is {value}; {remedy}.")


def _mask(trusted: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[trusted] = True
    if mask.all():
        raise UserError("trusted contains every label, so there is nothing to check; leave out the unverified labels.")
    return mask

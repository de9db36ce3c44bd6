"""Validation of the arrays of :func:`~vri_pyro.label_issues.find_label_issues`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vri_pyro.utils.errors import UserError, UserTypeError

CHUNK_VALUES = 4_000_000  # number of values of an array that are converted to float64 at a time
_SUM = 0.01  # largest difference from one of the sum of a row of probabilities, for rounded or half-precision values


class CheckedArrays(NamedTuple):
    """Valid arrays about N examples of K classes.

    Attributes:
        codes: position of each given label in ``classes``, int64 [N].
        classes: the classes, K Python or NumPy values.
        pred_probs: class probabilities, [N, K], unconverted; None if there are none.
        features: features, [N, D], unconverted; None if there are none.
        trusted: whether each label was verified, bool [N].
    """

    codes: np.ndarray
    classes: list[Hashable]
    pred_probs: np.ndarray | None
    features: np.ndarray | None
    trusted: np.ndarray


def checked_arrays(labels: Any, pred_probs: Any, features: Any, trusted: Any, classes: Any) -> CheckedArrays:
    """Check the arguments of :func:`~vri_pyro.label_issues.find_label_issues`, which describes them.

    Probabilities and features are read chunk by chunk and are not copied.

    Raises:
        UserError: a value, a shape or a length is invalid.
        UserTypeError: a type is invalid.
    """
    if pred_probs is None and features is None:
        raise UserError("pred_probs and features are both None; pass out-of-sample probabilities, features, or both.")
    codes, known = _checked_labels(labels, classes)
    if pred_probs is not None:
        pred_probs = _checked_probabilities(pred_probs, len(codes), known, classes is not None)
    if features is not None:
        features = _checked_features(features, len(codes))
    return CheckedArrays(codes, known, pred_probs, features, _checked_trusted(trusted, len(codes)))


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Yield slices of rows with at most :data:`CHUNK_VALUES` values."""
    rows = max(1, CHUNK_VALUES // max(1, array.shape[1]))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def _checked_labels(labels: Any, classes: Any) -> tuple[np.ndarray, list[Hashable]]:
    series = _series("labels", labels)
    if len(series) < 2:
        raise UserError(f"labels has {len(series)} values; expected at least two.")
    missing = series.isna().to_numpy()
    if missing.any():
        raise UserError(
            f"labels[{int(missing.argmax())}] is missing (None or NaN); remove the example or give it a label."
        )
    kinds = {_kind(kind) for kind in series.map(type).unique()} if series.dtype == object else set()
    if len(kinds) > 1:
        raise UserTypeError(
            f"labels mix the types {' and '.join(sorted(kinds))}, so that 1 and '1' would be different classes; "
            "convert all labels to one type."
        )
    try:
        codes, values = pd.factorize(series)
    except TypeError as error:
        raise UserTypeError(
            f"labels contain a value that is not hashable ({error}); use strings or integers."
        ) from None
    found = list(values)
    known = _sorted(found) if classes is None else _checked_classes(classes, found)
    if len(known) < 2:
        raise UserError(
            f"labels contain only the class {known[0]!r}; label errors can be found among at least two classes, so "
            "pass classes=[...] if other classes exist."
        )
    place = {value: number for number, value in enumerate(known)}
    return np.array([place[value] for value in found], dtype=np.int64)[codes], known


def _series(name: str, values: Any) -> pd.Series:
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        raise UserTypeError(f"{name} is a {type(values).__name__}; expected an array, a list or a Series of labels.")
    shape = getattr(values, "shape", (len(values),))
    if len(shape) != 1:
        raise UserError(
            f"{name} has shape {tuple(shape)}; expected one label per example, [N] (use .argmax(1) for one-hot rows)."
        )
    if isinstance(values, pd.Series | pd.Index | pd.Categorical):
        return pd.Series(np.asarray(values))
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().numpy()
    # Without the dtype, pandas would convert [1, None] to floats, and NumPy [1, "1"] to strings.
    return pd.Series(values if isinstance(values, np.ndarray) else list(values), dtype=_dtype(values))


def _dtype(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" else object


def _kind(kind: type) -> str:
    if issubclass(kind, bool | np.bool_):
        return "bool"
    if issubclass(kind, int | float | np.number):
        return "number"
    return "str" if issubclass(kind, str) else kind.__name__


def _sorted(values: list[Hashable]) -> list[Hashable]:
    try:
        return sorted(values)  # type: ignore[type-var]
    except TypeError:
        raise UserTypeError(
            f"labels of type {type(values[0]).__name__} have no order; pass classes=[...] in the order of the columns."
        ) from None


def _checked_classes(classes: Any, found: list[Hashable]) -> list[Hashable]:
    if isinstance(classes, str) or not hasattr(classes, "__len__"):
        raise UserTypeError(f"classes is a {type(classes).__name__}; expected a list with every class once.")
    known = list(classes)
    if twice := [value for value in dict.fromkeys(known) if known.count(value) > 1]:
        raise UserError(f"classes contains {twice[0]!r} more than once; list every class once.")
    unknown = set(found) - set(known)
    if unknown:
        first = next(value for value in found if value in unknown)
        raise UserError(
            f"labels contain {first!r}, which is not in classes ({_shown(known)}); add it to classes or correct the "
            "label."
        )
    return known


def _shown(classes: Sequence[Any]) -> str:
    return ", ".join(map(repr, classes[:5])) + (", …" if len(classes) > 5 else "")


def _matrix(name: str, values: Any, count: int, columns: str) -> np.ndarray:
    """Return numbers [count, any], without a copy of an array."""
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asanyarray(values)
    if array.dtype.kind not in "fiub":
        raise UserTypeError(f"{name} has dtype {array.dtype}; convert it to a floating-point array [N, {columns}].")
    if array.ndim != 2:
        raise UserError(f"{name} has shape {array.shape}; expected two dimensions, [N, {columns}].")
    if len(array) != count:
        raise UserError(f"{name} has {len(array)} rows for {count} labels; expected one row per label.")
    return array


def _checked_probabilities(values: Any, count: int, classes: list[Hashable], listed: bool) -> np.ndarray:
    array = _matrix("pred_probs", values, count, "classes")
    if array.shape[1] != len(classes):
        remedy = "one column per class is needed" if listed else "pass classes=[...] with the class of every column"
        origin = "classes has" if listed else "labels have"
        expected = f"{len(classes)} classes ({_shown(classes)})"
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
    array = _matrix("features", values, count, "dimensions")
    if array.shape[1] == 0:
        raise UserError("features has no columns; expected at least one feature per example.")
    for rows in row_chunks(array):
        with np.errstate(over="ignore"):
            part = array[rows].astype(np.float32)
        _raise_first(~np.isfinite(part), "features", array, rows, "replace such values or remove the example")
    return array


def _raise_first(wrong: np.ndarray, name: str, array: np.ndarray, rows: slice, remedy: str) -> None:
    if wrong.any():
        row, column = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
        value = array[rows.start + row, column]
        raise UserError(f"{name}[{rows.start + row}, {column}] is {value}; {remedy}.")


def _checked_trusted(trusted: Any, count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    if trusted is None:
        return mask
    indices = trusted.detach().cpu().numpy() if hasattr(trusted, "detach") else np.asarray(trusted)
    if indices.ndim != 1:
        raise UserError(f"trusted has shape {indices.shape}; expected positions [M] or a boolean mask [{count}].")
    if indices.size == 0:
        return mask
    if indices.dtype.kind == "b":
        if len(indices) != count:
            raise UserError(f"trusted is a mask of {len(indices)} values for {count} labels; expected one per label.")
        mask |= indices
    else:
        mask[_checked_positions(indices, count)] = True
    if mask.all():
        raise UserError("trusted contains every label, so there is nothing to check; leave out the unverified labels.")
    return mask


def _checked_positions(indices: np.ndarray, count: int) -> np.ndarray:
    if indices.dtype.kind not in "iu":
        raise UserTypeError(
            f"trusted has dtype {indices.dtype}; expected integer positions or a boolean mask of the {count} labels."
        )
    outside = (indices < 0) | (indices >= count)
    if outside.any():
        first = int(outside.argmax())
        raise UserError(f"trusted[{first}] is {indices[first]}; positions of the labels are 0 to {count - 1}.")
    values, times = np.unique(indices, return_counts=True)
    if (times > 1).any():
        raise UserError(f"trusted contains {values[times > 1][0]} more than once; list every position once.")
    return indices

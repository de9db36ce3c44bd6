"""Labels of any hashable type: conversion to class numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vri_pyro.utils.errors import UserError, UserTypeError

_SHOWN = 5  # classes named in a message
_A_CLASS = 5  # labels of a class in the mean, below which numbers with a fraction are no classes


class ClassLabels(NamedTuple):
    """Labels as class numbers.

    Attributes:
        numbers: class numbers, int64 [N].
        classes: the label of each class, in the order of their numbers, [K].
    """

    numbers: np.ndarray
    classes: list[Hashable]


def number_labels(name: str, labels: Any, classes: Any = None) -> ClassLabels:
    """Convert labels to class numbers.

    Args:
        name: name of the labels in messages.
        labels: hashable values of one type, such as strings or integers, [N], N >= 1: an array, list, tensor, or pandas
            Series or Categorical.
        classes: all classes in the order of their numbers; None for the sorted distinct labels.

    Raises:
        UserError: there are no labels, a label is missing or not in ``classes``, a class occurs twice, or the labels
            are numbers with fractions of which there are fewer than five of a kind, although ``classes`` is None.
        UserTypeError: the labels are not a sequence, are unhashable, have several types, or have no order.
    """
    series = label_series(name, labels)
    if len(series) == 0:
        raise UserError(f"{name} is empty; expected at least one label.")
    if (missing := series.isna().to_numpy()).any():
        raise UserError(
            f"{name}[{int(missing.argmax())}] is missing (None or NaN); remove the example or give it a label."
        )
    kinds = {_kind(kind) for kind in series.map(type).unique()} if series.dtype == object else set()
    if len(kinds) > 1:
        raise UserTypeError(
            f"{name} mixes the types {' and '.join(sorted(kinds))}, so that 1 and '1' would be different classes; "
            "convert all labels to one type."
        )
    try:
        codes, values = pd.factorize(series)
    except TypeError as error:
        raise UserTypeError(f"{name} has a value that is not hashable ({error}); use strings or integers.") from None
    found = list(values)
    if classes is None:
        _check_not_continuous(name, found, len(series))
    known = _sorted(name, found) if classes is None else _checked_classes(name, classes, found)
    place = {value: number for number, value in enumerate(known)}
    return ClassLabels(np.array([place[value] for value in found], dtype=np.int64)[codes], known)


def label_array(classes: Sequence[Hashable]) -> np.ndarray:
    """Return classes as an array [K]; those that are not numbers, Booleans or strings become objects."""
    if all(isinstance(label, bool | int | float | str | np.generic) for label in classes):
        return np.array(classes)
    found = np.empty(len(classes), dtype=object)
    found[:] = classes
    return found


def label_names(classes: Iterable[Hashable]) -> tuple[str, ...]:
    """Return distinct names of the classes as text; numbers if two classes would have the same name."""
    names = tuple(map(str, classes))
    return names if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def shown_classes(classes: Sequence[Hashable]) -> str:
    """List the first classes, for messages."""
    return ", ".join(map(repr, classes[:_SHOWN])) + (", …" if len(classes) > _SHOWN else "")


def label_series(name: str, values: Any) -> pd.Series:
    """Return labels as a Series whose values have their own types, [N].

    Raises:
        UserError: the values have more than one dimension.
        UserTypeError: the values are not a sequence.
    """
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        raise UserTypeError(f"{name} is a {type(values).__name__}; expected an array, a list or a Series of labels.")
    shape: tuple[int, ...] = getattr(values, "shape", (len(values),))
    if len(shape) != 1:
        remedy = "use .ravel()" if shape[1:] == (1,) else "use .argmax(1) for one-hot rows"
        raise UserError(f"{name} has shape {tuple(shape)}; expected one label per example, [N] ({remedy}).")
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


def _check_not_continuous(name: str, values: list[Hashable], count: int) -> None:
    """Refuse numbers with a fraction that hardly ever occur twice."""
    if count >= _A_CLASS * len(values):
        return
    for value in values:
        if isinstance(value, float | np.floating) and not float(value).is_integer():
            raise UserError(
                f"{name} has {len(values)} different values among {count}, such as {value:g}, like the target of a "
                "regression; put the numbers into bins, or convert them to strings if they are names of classes."
            )


def _sorted(name: str, values: list[Hashable]) -> list[Hashable]:
    try:
        return sorted(values)  # type: ignore[type-var]
    except TypeError:
        raise UserTypeError(
            f"{name} has labels of type {type(values[0]).__name__}, which have no order; pass classes=[...] in the "
            "order of the columns."
        ) from None


def _checked_classes(name: str, classes: Any, found: list[Hashable]) -> list[Hashable]:
    if isinstance(classes, str) or not hasattr(classes, "__len__"):
        raise UserTypeError(f"classes is a {type(classes).__name__}; expected a list with every class once.")
    known = list(classes)
    if twice := [value for value in dict.fromkeys(known) if known.count(value) > 1]:
        raise UserError(f"classes contains {twice[0]!r} more than once; list every class once.")
    unknown = set(found) - set(known)
    if unknown:
        first = next(value for value in found if value in unknown)
        raise UserError(
            f"{name} contains {first!r}, which is not in classes ({shown_classes(known)}); add it to classes or "
            "correct the label."
        )
    return known

"""Labels of any hashable type: conversion to class numbers and back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vri_pyro.utils.errors import UserError


class ClassLabels(NamedTuple):
    """Labels as class numbers.

    Attributes:
        numbers: class numbers, int64 [N].
        classes: the label of each class, sorted, [K]; dtype object if NumPy has no better one.
    """

    numbers: np.ndarray
    classes: np.ndarray


def number_labels(name: str, labels: Iterable[Any], classes: Sequence[Any] | None = None) -> ClassLabels:
    """Convert labels to class numbers.

    Args:
        name: name of the labels in messages.
        labels: hashable labels of one type, such as strings or integers, [N]: an array, a list or a pandas Series.
        classes: the classes in the order of their numbers, including classes without a label; the sorted distinct
            labels by default.

    Raises:
        UserError: a label is missing or unhashable, is not in ``classes``, or the labels cannot be sorted because they
            have several types.
    """
    values = _as_list(labels)
    _check_present(name, values)
    ordered = _sorted_classes(name, values) if classes is None else _as_list(classes)
    numbers = {label: number for number, label in enumerate(ordered)}
    if len(numbers) < len(ordered):
        twice = next(label for label in ordered if ordered.count(label) > 1)
        raise UserError(f"classes contains {twice!r} more than once; list each class once")
    found = np.empty(len(values), dtype=np.int64)
    for position, label in enumerate(values):
        if (number := numbers.get(label)) is None:
            raise UserError(
                f"{name}[{position}] is {label!r}, which is not in classes; add it to classes or correct it"
            )
        found[position] = number
    return ClassLabels(found, _as_array(ordered))


def label_names(classes: Iterable[Any]) -> tuple[str, ...]:
    """Return distinct names of the classes as text; numbers if two classes would have the same name."""
    names = tuple(map(str, classes))
    return names if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def _as_list(labels: Iterable[Any]) -> list[Any]:
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)


def _as_array(labels: list[Any]) -> np.ndarray:
    """Return labels as an array; labels that are sequences themselves, such as tuples, become objects."""
    if all(isinstance(label, bool | int | float | str | np.generic) for label in labels):
        return np.array(labels)
    found = np.empty(len(labels), dtype=object)
    found[:] = labels
    return found


def _check_present(name: str, values: list[Any]) -> None:
    for position, label in enumerate(values):
        # NaN, pandas' NaT and pandas' NA are not equal to themselves, or have no truth value.
        same = label == label
        if label is None or not isinstance(same, bool | np.bool_) or not same:
            raise UserError(f"{name}[{position}] is {label}: a label is missing; fill it in or remove the example")
        if not isinstance(label, Hashable):
            raise UserError(
                f"{name}[{position}] is a {type(label).__name__}, which is not hashable; use strings or integers"
            )


def _sorted_classes(name: str, values: list[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    kinds = {str if isinstance(label, str) else type(label) for label in distinct}
    try:
        return sorted(distinct)
    except TypeError as error:
        listed = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(f"{name} mixes labels of type {listed}; convert them all to one type, such as str") from error

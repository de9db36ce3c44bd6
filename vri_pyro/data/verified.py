"""Verified pairs: examples of which both the class that a person has found and the label as given are known."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vri_pyro.data.class_labels import label_series, shown_classes
from vri_pyro.data.validation import UNCHECKED, check_verified
from vri_pyro.utils.errors import UserError, UserTypeError
from vri_pyro.utils.numbers import counted

_EMPTY = (-1, "-1", "")  # what marks an unchecked example, unless a class is called so


class VerifiedPairs(NamedTuple):
    """Examples with a checked class and the label that they had before.

    A pair is a draw of the label given the class, so it informs the transition matrix directly, as a count.

    Attributes:
        indices: positions of the examples in the training set, ascending, int64 [P].
        classes: the checked classes, int64 [P].
        given: the labels as given, int64 [P].
    """

    indices: np.ndarray
    classes: np.ndarray
    given: np.ndarray

    @classmethod
    def of(cls, verified: np.ndarray, given: np.ndarray) -> VerifiedPairs:
        """Collect the pairs.

        Args:
            verified: checked classes, int64 [N], -1 for unchecked examples.
            given: labels as given, int64 [N]; an example without a label (-1) makes no pair.
        """
        indices = np.flatnonzero((verified != UNCHECKED) & (given >= 0))
        return cls(indices, verified[indices], given[indices])

    @property
    def wrong(self) -> int:
        """The number of pairs whose label as given is not the checked class."""
        return int((self.classes != self.given).sum())

    @property
    def described(self) -> str:
        """The number of checked labels and how many of them were wrong, as text."""
        wrong = f"{self.wrong} of them {'was' if self.wrong == 1 else 'were'} wrong"
        return f"{counted(len(self.indices), 'label was', 'labels were')} checked, {wrong}"

    def counts(self, num_classes: int) -> np.ndarray:
        """Count the pairs by checked class (row) and label as given (column), int64 [K, K]."""
        counts = np.zeros((num_classes, num_classes), dtype=np.int64)
        np.add.at(counts, (self.classes, self.given), 1)
        return counts


def number_verified(name: str, verified: Any, classes: Sequence[Hashable], count: int) -> np.ndarray:
    """Convert checked classes of any hashable type to class numbers.

    Args:
        name: name of the values in messages.
        verified: the checked class of each example, [count]: an array, list, tensor, or pandas Series or Categorical.
            None, NaN and, unless a class is called so, -1 and empty strings mark unchecked examples.
        classes: all classes, in the order of their numbers.
        count: the number of examples.

    Returns:
        class numbers, int64 [count], -1 for unchecked examples.

    Raises:
        UserError: a value is not a class, the length is wrong, or no example or every example is checked.
        UserTypeError: the values are not a sequence, are unhashable, or are a mask.
    """
    series = label_series(name, verified)
    if pd.api.types.infer_dtype(series) == "boolean" and not isinstance(classes[0], bool | np.bool_):
        raise UserTypeError(f"{name} is a mask; expected the class of each checked example (a mask fits trusted).")
    try:
        codes, found = pd.factorize(series)  # missing values have the code -1
    except TypeError as error:
        raise UserTypeError(f"{name} has a value that is not hashable ({error}); use the classes.") from None
    place = dict.fromkeys(_EMPTY, UNCHECKED) | {label: number for number, label in enumerate(classes)}
    if unknown := [value for value in found if value not in place]:
        at = int((codes == list(found).index(unknown[0])).argmax())
        raise UserError(
            f"{name}[{at}] is {unknown[0]!r}, which is not one of the classes ({shown_classes(classes)}); correct it, "
            "or leave it empty (-1) if the label is unchecked."
        )
    numbers = np.array([*(place[value] for value in found), UNCHECKED], dtype=np.int64)[codes]
    if len(numbers) == count > 0 and (numbers != UNCHECKED).all():
        among = " (None or NaN marks an unchecked example, since -1 is a class)" if -1 in classes else ""
        raise UserError(f"{name} has a class for every example{among}, so there is no noisy label left; remove some.")
    return check_verified(name, numbers, count, len(classes))


def verified_of_answers(indices: Any, classes: Any, count: int) -> np.ndarray:
    """Turn answers about single examples into an array ``verified``, as sources, ``fit`` and the label issues take it.

    Args:
        indices: positions of the examples that were checked, integers [A]; a position may be repeated.
        classes: the class of each of them, [A]: class numbers, or class names as strings.
        count: the number of examples N.

    Returns:
        the checked class of each example, [count]; unchecked examples have -1, or an empty string among names.

    Raises:
        UserError: there are no answers, the lengths differ, a position is out of range, a class is neither a number nor
            a name, or two answers about one example differ.
    """
    positions, answers = np.asarray(indices), np.asarray(classes)
    if positions.shape != answers.shape or positions.ndim != 1 or len(positions) == 0:
        raise UserError(
            f"indices has shape {positions.shape} and classes {answers.shape}; expected one class for each answer, [A]."
        )
    if positions.dtype.kind not in "iu" or ((positions < 0) | (positions >= count)).any():
        raise UserError(f"indices has values that are not positions from 0 to {count - 1}; use those of the examples.")
    if answers.dtype.kind not in "iuU":
        raise UserError(f"classes has dtype {answers.dtype}; expected class numbers or class names as strings.")
    names = answers.dtype.kind == "U"
    empty = (answers == "") if names else (answers < 0)
    if empty.any():
        raise UserError(f"classes[{int(empty.argmax())}] has no class; leave out examples that were not checked.")
    verified = np.full(count, "" if names else UNCHECKED, dtype=answers.dtype if names else np.int64)
    verified[positions] = answers
    if (changed := np.flatnonzero(verified[positions] != answers)).size:
        raise UserError(f"Example {positions[changed[0]]} has two answers that differ; keep one of them.")
    return verified

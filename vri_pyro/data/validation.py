"""Validation of user arrays: dtypes, ranks, finiteness, labels and indices.

Every error message names the array. Functions that return the array convert it to the package's canonical form.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable, Sequence, Set
from typing import Any

import numpy as np

from vri_pyro.data.stored import StoredVectors
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.utils.errors import UserError, UserTypeError

# The label of an example that belongs to none of the classes (out of distribution, open-set noise).
NO_CLASS = -1
# The entry of an example that nobody has checked, among checked classes.
UNCHECKED = -1
# The answer that nobody has given to a proposed check, where -1 is an example of no class.
NOT_CHECKED = -2
_CHUNK = 4096
_LOST = 0.01  # rounding error, in standard deviations of a column, from which on a conversion is warned of
_COLOUR_CHANNELS = (1, 3, 4)


def check_inputs(name: str, x: Inputs) -> Inputs:
    """Check images or feature vectors.

    Args:
        name: the array's name in messages.
        x: images [N, H, W] or [N, H, W, C], or vectors [N, D]; uint8 or floating. Streamed images and stored vectors
            are valid by construction and are returned unread.

    Returns:
        uint8 or float32 [N, H, W, C] or [N, D]; shares memory with ``x`` unless a conversion is needed.

    Raises:
        UserError: the type, dtype or rank is wrong, there are no examples, the channels come first, or a value is not
            finite.
    """
    if isinstance(x, Streamed | StoredVectors):
        return x
    return check_array(name, x)


def check_array(name: str, x: np.ndarray) -> np.ndarray:
    """Check images or feature vectors in memory; see :func:`check_inputs`."""
    if not isinstance(x, np.ndarray):
        raise UserError(f"{name} is a {type(x).__name__}; expected a NumPy array.")
    if x.ndim not in (2, 3, 4):
        raise UserError(f"{name} has shape {x.shape}; expected images [N, H, W] or [N, H, W, C], or vectors [N, D].")
    if x.size == 0:
        raise UserError(f"{name} is empty (shape {x.shape}); expected at least one example.")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"{name} has dtype {x.dtype}; convert it to uint8 (0 to 255) or float32.")
    if x.ndim == 4 and x.shape[3] not in _COLOUR_CHANNELS and x.shape[1] in _COLOUR_CHANNELS:
        raise UserError(
            f"{name} has shape {x.shape}, which looks like [N, C, H, W]; "
            "move the channels last with .transpose(0, 2, 3, 1)."
        )
    if x.ndim == 3:
        x = x[..., None]
    return x if x.dtype == np.uint8 else _finite_float32(name, x)


def check_same_shape(name: str, x: Inputs, reference_name: str, reference: Inputs) -> None:
    """Raise if the examples of two sets of inputs differ in shape or dtype."""
    if x.shape[1:] != reference.shape[1:]:
        raise UserError(
            f"{name} has examples of shape {x.shape[1:]} but {reference_name} has examples of shape "
            f"{reference.shape[1:]}; convert both to the same shape."
        )
    if x.dtype != reference.dtype:
        raise UserError(
            f"{name} is {x.dtype} but {reference_name} is {reference.dtype}, so their scales would differ; "
            "convert both to the same dtype."
        )


def check_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Check that there are at least two class names, all different."""
    if isinstance(classes, str) or not isinstance(classes, Collection):
        raise UserTypeError(f"classes is {classes!r}; expected the class names in a tuple or list.")
    names = tuple(str(name) for name in classes)
    if len(names) < 2:
        there = "is 1 class" if len(names) == 1 else "are no classes"
        raise UserError(f"There {there}; classification needs at least two.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"The class name {twice!r} occurs more than once; class names must be unique.")
    return names


def check_labels(name: str, labels: np.ndarray, count: int, num_classes: int, may_be_none: bool = False) -> np.ndarray:
    """Check class labels.

    Args:
        name: the array's name in messages.
        labels: integers [count] in 0..num_classes-1, of any integer dtype.
        count: the expected number of labels.
        num_classes: number of classes K.
        may_be_none: whether :data:`NO_CLASS` is allowed too.

    Returns:
        the labels, int64 [count].

    Raises:
        UserError: the labels are not integers, their number is wrong, or a label is out of range.
    """
    _check_integers(name, labels, "convert class numbers 0 to K-1 with .astype('int64')")
    if len(labels) != count:
        raise UserError(f"{name} has {len(labels)} labels for {count} examples; expected one label per example.")
    remedy = f"labels are 0 to {num_classes - 1}"
    first = NO_CLASS if may_be_none else 0
    _check_range(name, labels, first, num_classes, f"{remedy}, or -1 for no class" if may_be_none else remedy)
    return labels.astype(np.int64)


def check_verified(name: str, verified: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Check the classes that a person has found for some examples.

    Args:
        name: the array's name in messages.
        verified: integers [count] in 0..num_classes-1, or :data:`UNCHECKED` where nobody has looked.
        count: the number of examples.
        num_classes: number of classes K.

    Returns:
        the checked classes, int64 [count].

    Raises:
        UserError: the values are not integers, their number is wrong, one is out of range, or no example is checked.
    """
    _check_integers(name, verified, "enter the number of the checked class, or -1 where the label is unchecked")
    if len(verified) != count:
        raise UserError(
            f"{name} has {len(verified)} entries for {count} examples; expected the checked class of each example, or "
            "-1 where the label is unchecked."
        )
    _check_range(name, verified, UNCHECKED, num_classes, f"classes are 0 to {num_classes - 1}, and -1 is unchecked")
    if (verified == UNCHECKED).all():
        raise UserError(f"{name} has no checked class; enter those of the examples that were checked, or leave it out.")
    return verified.astype(np.int64)


def check_agreement(
    name: str,
    verified: np.ndarray,
    trusted_name: str,
    trusted: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[Hashable] | None = None,
) -> None:
    """Raise if an example is trusted to have its label although its checked class is another one.

    Args:
        name, trusted_name: names of the two arrays in messages.
        verified: checked classes, int64 [N], -1 for unchecked examples.
        trusted: positions of the examples whose labels are trusted, int64 [M].
        labels: the labels, int64 [N].
        classes: names of the classes for the message; None for their numbers.
    """
    checked = verified[trusted]
    wrong = trusted[(checked != UNCHECKED) & (checked != labels[trusted])]
    if len(wrong):
        first = int(wrong[0])
        found, label = (int(of[first]) if classes is None else classes[of[first]] for of in (verified, labels))
        raise UserError(
            f"Example {first} is in {trusted_name}, which says that its label {label!r} is right, but its class in "
            f"{name} is {found!r}; take it out of {trusted_name} ({len(wrong)} such examples)."
        )


def check_indices(name: str, indices: np.ndarray, count: int) -> np.ndarray:
    """Check that indices into the training set are unique integers in 0..count-1; return them as int64 [n]."""
    _check_integers(name, indices, "use positions in the training set (numpy.flatnonzero of a mask)")
    _check_range(name, indices, 0, count, f"the training set has {count} examples, numbered from 0")
    values, counts = np.unique(indices, return_counts=True)
    if len(values) < len(indices):
        raise UserError(f"{name} contains index {values[counts > 1][0]} more than once; remove the duplicates.")
    return indices.astype(np.int64)


def check_trusted(name: str, trusted: Any, count: int) -> np.ndarray:
    """Check which examples are trusted: positions or a mask; return positions, ascending, int64 [M].

    Args:
        name: the argument's name in messages.
        trusted: positions, integers [M] in 0..count-1 without duplicates, or a mask, bool [count]; an array, list,
            range, tensor or pandas Series. None for no trusted examples.
        count: the number of examples.

    Raises:
        UserError: a position is out of range or occurs twice, or the mask has the wrong length.
        UserTypeError: the values are neither integers nor Booleans.
    """
    if trusted is None:
        return np.zeros(0, dtype=np.int64)
    if isinstance(trusted, Set):
        raise UserTypeError(f"{name} is a {type(trusted).__name__}, which has no order; pass sorted({name}).")
    values = trusted.detach().cpu().numpy() if hasattr(trusted, "detach") else np.asarray(trusted)
    if values.ndim != 1:
        raise UserError(f"{name} has shape {values.shape}; expected positions [M] or a boolean mask [{count}].")
    if values.dtype.kind == "b":
        if len(values) != count:
            raise UserError(f"{name} is a mask of length {len(values)} for {count} examples; expected one per example.")
        return np.flatnonzero(values)
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)
    if values.dtype.kind not in "iu":
        raise UserTypeError(f"{name} has dtype {values.dtype}; expected integer positions or a boolean mask [{count}].")
    if len(values) == count > 2 and np.isin(values, (0, 1)).all():
        raise UserError(f"{name} has a 0 or 1 for each of the {count} examples; convert it to Booleans for a mask.")
    outside = (values < 0) | (values >= count)
    if outside.any():
        first = int(outside.argmax())
        raise UserError(f"{name}[{first}] is {values[first]}; positions of the {count} examples are 0 to {count - 1}.")
    return np.sort(check_indices(name, values, count))


def check_disjoint(name: str, indices: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Raise if two index sets share an example."""
    shared = np.intersect1d(indices, other)
    if len(shared) > 0:
        raise UserError(
            f"{name} and {other_name} share {len(shared)} examples, the first at index {shared[0]}; "
            "make the sets disjoint."
        )


def check_transition(name: str, transition: np.ndarray, num_classes: int) -> None:
    """Raise if a matrix is not a transition matrix [K, K] with probability distributions as rows."""
    if transition.shape != (num_classes, num_classes) or transition.dtype.kind != "f":
        raise UserError(
            f"{name} has shape {transition.shape} and dtype {transition.dtype}; "
            f"expected a floating matrix [{num_classes}, {num_classes}]."
        )
    sound = (transition >= 0).all(axis=1) & np.isclose(transition.sum(axis=1), 1.0)
    if not sound.all():
        raise UserError(
            f"Row {int(sound.argmin())} of {name} is not a distribution; "
            "its entries must be non-negative and sum to one."
        )


def _check_integers(name: str, values: np.ndarray, remedy: str) -> None:
    if not isinstance(values, np.ndarray):
        raise UserError(f"{name} is a {type(values).__name__}; expected a NumPy array of integers.")
    if values.ndim != 1:
        raise UserError(f"{name} has shape {values.shape}; expected a one-dimensional array of integers.")
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(f"{name} has dtype {values.dtype} but must have an integer dtype; {remedy}.")


def _check_range(name: str, values: np.ndarray, start: int, end: int, remedy: str) -> None:
    outside = (values < start) | (values >= end)
    if outside.any():
        first = int(outside.argmax())
        raise UserError(f"{name}[{first}] is {values[first]}; {remedy}.")


def check_single_precision(name: str, x: np.ndarray, columns: Sequence[Hashable] | None = None) -> None:
    """Raise if a number is NaN, infinite, or too large for single precision.

    Args:
        name: the array's name in messages.
        x: numbers, [N, ...].
        columns: names of the columns of vectors [N, D], which messages add to the position; None if they have none.

    Raises:
        UserError: names the first such value, its place, and what to do.
    """
    # In chunks, because a mask of the whole set would need a quarter of its memory.
    for start in range(0, len(x), _CHUNK):
        with np.errstate(over="ignore"):
            finite = np.isfinite(x[start : start + _CHUNK].astype(np.float32, copy=False))
        if finite.all():
            continue
        first = np.unravel_index(int(finite.argmin()), finite.shape)
        index = (start + int(first[0]), *(int(position) for position in first[1:]))
        place = f"{name}[{', '.join(map(str, index))}]" + (f" (column {columns[index[1]]!r})" if columns else "")
        if np.isnan(value := x[index]):
            raise UserError(f"{place} is NaN; fill in missing values, or drop the examples that have some.")
        if np.isinf(value):
            raise UserError(f"{place} is {value}; replace or drop infinite values.")
        raise UserError(
            f"{place} is {value}, which is too large for single precision (at most 3.4e+38); correct or drop such "
            "values, or divide the column by a constant."
        )


def _finite_float32(name: str, x: np.ndarray) -> np.ndarray:
    check_single_precision(name, x)
    converted = x.astype(np.float32, copy=False)
    _warn_of_resolution(name, x, converted)
    return converted


def _warn_of_resolution(name: str, x: np.ndarray, converted: np.ndarray) -> None:
    """Warn of a column of vectors [N, D] whose variation float32 cannot represent, such as seconds since 1970."""
    if x.ndim != 2 or np.can_cast(x.dtype, converted.dtype):
        return
    parts = [slice(start, start + _CHUNK) for start in range(0, len(x), _CHUNK)]
    lost = np.max([abs(x[rows].astype(np.float64) - converted[rows]).max(axis=0) for rows in parts], axis=0)
    if not lost.any():
        return
    mean = x.mean(axis=0, dtype=np.float64)
    with np.errstate(over="ignore"):
        std = np.sqrt(sum(((x[rows] - mean) ** 2).sum(axis=0) for rows in parts) / len(x))
    blurred = np.flatnonzero((std > 0) & (lost > _LOST * std))
    if len(blurred):
        column = blurred[0]
        more = f" (and {len(blurred) - 1} more)" if len(blurred) > 1 else ""
        warnings.warn(
            f"{name} is converted to float32, which blurs column {column}{more}: its values vary by about "
            f"{std[column]:.3g} around {mean[column]:.3g}; subtract the mean of such a column first",
            stacklevel=2,
        )

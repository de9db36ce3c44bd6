"""The most frequent confusions between classes, and the names of classes in text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vri_pyro.report.figures import are_named

_BESIDE_NAMES, _BESIDE_NUMBERS = 3, 10


def likeliest(shares: np.ndarray, classes: Sequence[str]) -> list[tuple[int, int]]:
    """Return the cells of the largest off-diagonal shares.

    Args:
        shares: a confusion or transition matrix, [K, K]; NaN counts as 0.
        classes: names of the classes, [K].

    Returns:
        (row, column) of at most 3 cells, or 10 if the figures number the classes instead of naming them; cells with
        share 0 are left out.
    """
    off = np.nan_to_num(shares) * (1 - np.eye(len(shares)))
    largest = np.argsort(-off, axis=None, kind="stable")[: _BESIDE_NAMES if are_named(classes) else _BESIDE_NUMBERS]
    cells = [divmod(int(position), len(shares)) for position in largest]
    return [cell for cell in cells if off[cell] > 0]


def called(classes: Sequence[str], number: int) -> str:
    """Return the name of a class, with its number appended if the figures number the classes."""
    name = classes[number]
    return name if are_named(classes) or name == str(number) else f"{name} ({number})"

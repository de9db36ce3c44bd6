"""Which classes are taken for which, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vri_pyro.report.figures import are_named

_BESIDE_NAMES, _BESIDE_NUMBERS = 3, 10


def likeliest(shares: np.ndarray, classes: Sequence[str]) -> list[tuple[int, int]]:
    """The places of the largest shares off the diagonal; more of them where figures cannot name the classes."""
    off = np.nan_to_num(shares) * (1 - np.eye(len(shares)))
    largest = np.argsort(-off, axis=None, kind="stable")[: _BESIDE_NAMES if are_named(classes) else _BESIDE_NUMBERS]
    places = [divmod(int(place), len(shares)) for place in largest]
    return [place for place in places if off[place] > 0]


def called(classes: Sequence[str], number: int) -> str:
    """A class's name, with its number where figures have numbers for names."""
    name = classes[number]
    return name if are_named(classes) or name == str(number) else f"{name} ({number})"

"""Check that pandas objects list their rows in the same order."""

from __future__ import annotations

from typing import Any

import pandas as pd

from vri_pyro.utils.errors import UserError


def check_same_rows(**named: Any) -> None:
    """Raise if two pandas objects have the same row labels in different orders.

    Rows are matched by position, as in scikit-learn. If one object was shuffled and the other one was not, the labels
    of most rows would be wrong.

    Args:
        named: DataFrames and Series by name; other values are ignored.

    Raises:
        UserError: the index of one is a permutation of the index of another.
    """
    indexed = {name: value.index for name, value in named.items() if isinstance(value, pd.DataFrame | pd.Series)}
    first, *others = indexed or [""]
    for other in others:
        one, two = indexed[first], indexed[other]
        if len(one) == len(two) and not one.equals(two) and set(one) == set(two):
            raise UserError(
                f"{first} and {other} have the same index in different orders, and rows are matched by position; pass "
                f"{other}.loc[{first}.index] to match them by index, or {other}.to_numpy() if the positions are right"
            )

"""Pandas objects in different orders are refused, and everything else is matched by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from vri_pyro import VRIClassifier, find_label_issues
from vri_pyro.data.alignment import check_same_rows
from vri_pyro.utils.errors import UserError

ROWS = pd.DataFrame({"a": range(6)}, index=list("uvwxyz"))


def test_the_same_index_in_another_order_is_refused_with_both_remedies() -> None:
    with pytest.raises(UserError, match=r"X and y have the same index.*y\.loc\[X\.index\].*to_numpy"):
        check_same_rows(X=ROWS, y=ROWS["a"][::-1])


@pytest.mark.parametrize(
    "other",
    [
        ROWS["a"],
        ROWS["a"].reset_index(drop=True),
        ROWS["a"][:3],
        ROWS["a"].to_numpy()[::-1],
        pd.Series(range(6), index=[0, "v", 2.5, None, "y", "z"]),
        None,
    ],
    ids=["same", "reset", "shorter", "array", "mixed types", "none"],
)
def test_equal_and_unrelated_indexes_are_matched_by_position(other: Any) -> None:
    check_same_rows(X=ROWS, y=other)


def test_classifier_and_find_label_issues_refuse_shuffled_labels() -> None:
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)))
    y = pd.Series(np.arange(40) % 2)
    shuffled = y.sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="X and y have the same index in different orders"):
        VRIClassifier(epochs=1).fit(x, shuffled, trusted=range(8))
    with pytest.raises(ValueError, match="labels and features have the same index in different orders"):
        find_label_issues(shuffled, features=x)

"""Test whether the examples that a person has checked were chosen by how suspicious their labels look."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

CHOSEN = 1e-4  # p-value below which verified examples were chosen by their scores


def chosen_by_score(groups: np.ndarray, score: np.ndarray, checked: np.ndarray) -> float:
    """Return the p-value of the hypothesis that, within each group, the checked examples are a random sample.

    The scores of checked and unchecked examples are compared by a stratified rank-sum test (van Elteren's, with equal
    weights), in its normal approximation.

    Args:
        groups: group of each example, such as its decision and label, int64 [N].
        score: how suspicious each label looks, [N].
        checked: whether each example was checked, bool [N].

    Returns:
        the two-sided p-value; 1 if no group has both checked and unchecked examples, or all scores are tied.

    Reference: van Elteren, On the combination of independent two-sample tests of Wilcoxon, 1960.
    """
    table = pd.DataFrame({"group": groups, "score": score, "checked": checked})
    table["rank"] = table.groupby("group")["score"].rank()
    found = table.groupby("group").agg(count=("rank", "size"), checked=("checked", "sum"), spread=("rank", "var"))
    drawn, count = found["checked"].to_numpy(float), found["count"].to_numpy(float)
    # The sum of the ranks of a sample without replacement; the variance of the ranks accounts for ties.
    expected = (drawn * (count + 1) / 2).sum()
    variance = (found["spread"].fillna(0).to_numpy() * drawn * (count - drawn) / count).sum()
    if variance == 0:
        return 1.0
    distance = abs(table.loc[table["checked"], "rank"].sum() - expected) / math.sqrt(variance)
    return math.erfc(distance / math.sqrt(2))

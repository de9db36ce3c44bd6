"""Label issues as a pandas DataFrame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.ranking import LabelIssues


def issues_frame(issues: LabelIssues, index: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """Build a table of scored labels, most suspicious first.

    Args:
        issues: the scored labels.
        index: position or name of each example, [N].
        classes: the label of each class, [K].

    Returns:
        a row per example with the columns ``index``, ``given``, ``suggested`` (the most probable class; None if none of
        the classes is), ``score`` (the probability that the label is wrong), ``uncertainty`` (of the suggestion, from
        0 to 1) and ``is_label_issue`` (whether the label is more probably wrong than correct).
    """
    order = issues.order().numpy()
    suggested, score = issues.suggested.numpy()[order], issues.score.numpy()[order]
    names = classes[suggested]
    if (suggested == NO_CLASS).any():
        names = names.astype(object)
        names[suggested == NO_CLASS] = None
    return pd.DataFrame(
        {
            "index": index[order],
            "given": classes[issues.given.numpy()[order]],
            "suggested": names,
            "score": score,
            "uncertainty": issues.uncertainty.numpy()[order],
            "is_label_issue": issues.flagged.numpy()[order],
        }
    )

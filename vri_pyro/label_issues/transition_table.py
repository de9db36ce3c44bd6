"""``label_issues_transition.csv``: the estimated transition matrix, with its intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.utils.files import write_atomically

COLUMNS = ("class", "given", "probability", "low", "high")


def write_transition_table(
    path: Path, found: TransitionPosterior, classes: Sequence[str], true: np.ndarray | None = None
) -> None:
    """Write a line a pair of classes: how probably an example of the first is labelled as the second.

    Args:
        path: the file, in UTF-8.
        found: draws of the matrix; ``probability`` is their mean, and 95% of them lie from ``low`` to ``high``;
            the mean of what is nearly always 0 may lie above.
        classes: names, [K].
        true: the matrix in truth, [K, K], where it is known; not a number for a class without examples, which is left
            empty.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(["true"] if true is not None else [])])
    parts = [found.transition.mean(0), *found.interval()]
    for row, name in enumerate(classes):
        for column, given in enumerate(classes):
            values = [f"{float(part[row, column]):.6g}" for part in parts]
            if true is not None:
                values.append("" if np.isnan(true[row, column]) else f"{true[row, column]:.6g}")
            writer.writerow([name, given, *values])
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))  # of names of folders that are no UTF-8

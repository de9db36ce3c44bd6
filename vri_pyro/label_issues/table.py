"""``label_issues.csv``: the examples of a run, the most suspicious labels first."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vri_pyro.data import Examples
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.ranking import BEST, LabelIssues
from vri_pyro.utils.files import write_atomically

NONE = "(none)"
PROBABLE = 0.5  # a score above it makes a label more probably wrong than right
COLUMNS = ("index", "path", "given", "suggested", "score", "uncertainty", "is_label_issue")


def write_table(
    path: Path,
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
) -> None:
    """Write a line an example: its position, where its input is from, its label, and what is to be said against it.

    ``path`` is what the data's own list calls the example, so that the table can be joined to that list, and
    ``is_label_issue`` is whether the label is more probably wrong than right.

    Args:
        path: the file, in UTF-8.
        issues: of the examples.
        indices: their positions in the training set, int64 [N].
        classes: names.
        examples: the training set.
        true: the true labels, int64 [N], where they are known; -1 for none of the classes, which is written as
            "(none)".

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    others = [name for name in issues.scores if name != BEST]
    writer.writerow([*COLUMNS, *others, *(["true"] if true is not None else [])])
    columns = [[f"{value:.6g}" for value in issues.scores[name].tolist()] for name in others]
    for row in issues.order().tolist():
        index = int(indices[row])
        writer.writerow(
            [
                index,
                examples.listed(index) or "",
                class_name(classes, int(issues.given[row])),
                class_name(classes, int(issues.suggested[row])),
                f"{issues.score[row]:.6f}",
                f"{issues.uncertainty[row]:.6f}",
                bool(issues.score[row] > PROBABLE),
                *(column[row] for column in columns),
                *([class_name(classes, int(true[row]))] if true is not None else []),
            ]
        )
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))  # of file names that are no UTF-8


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a class, or what stands for none of them."""
    return NONE if label == NO_CLASS else classes[label]

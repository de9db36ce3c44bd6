"""Write ``label_issues.csv``: the examples of a run, with the most suspicious labels first."""

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
PROBABLE = 0.5  # a label with a score above it is more probably wrong than correct
COLUMNS = ("index", "path", "given", "suggested", "score", "uncertainty", "is_label_issue")


def write_table(
    path: Path,
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
) -> None:
    """Write one line per example: its position, path, given and suggested label, and scores.

    The column ``path`` holds the example's name in the list of the data source, so that the table can be joined to that
    list. The column ``is_label_issue`` says whether the label is more probably wrong than correct.

    Args:
        path: the file to write, in UTF-8.
        issues: the scored examples.
        indices: positions of the examples in the training set, int64 [N].
        classes: names of the classes.
        examples: the training set.
        true: true labels, int64 [N], if they are known; -1 for an example of none of the classes, which is written as
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
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))  # file names may be invalid UTF-8


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class, or "(none)" for the label -1."""
    return NONE if label == NO_CLASS else classes[label]

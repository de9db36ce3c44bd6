"""Write ``label_issues.csv``: the examples of a run, with the most suspicious labels first."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data import Examples, VerifiedPairs
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.filled_in import FilledIn
from vri_pyro.label_issues.ranking import BEST, LabelIssues
from vri_pyro.utils.cells import RowWriter, as_cell
from vri_pyro.utils.files import write_atomically

NONE = "(none)"
TEXTS = ("path", "given", "suggested", "verified", "true")  # columns of names; all others have numbers
PROBABLE = 0.5  # a label with a score above it is more probably wrong than correct


def write_table(
    path: Path,
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
    limit: int | None = None,
    verified: VerifiedPairs | None = None,
    filled: FilledIn | None = None,
) -> None:
    """Write one line per example: its position, path, given and suggested label, and scores.

    The column ``path`` holds the example's name in the list of the data source, so that the table can be joined to that
    list. The column ``is_label_issue`` says whether the label is flagged, see
    :attr:`~vri_pyro.label_issues.LabelIssues.flagged`. An apostrophe is put
    before a name that a spreadsheet would compute as a formula, see :func:`~vri_pyro.utils.cells.as_cell`.

    Args:
        path: the file to write, in UTF-8.
        issues: the scored examples.
        indices: positions of the examples in the training set, int64 [N].
        classes: names of the classes.
        examples: the training set.
        true: true labels, int64 [N], if they are known; -1 for an example of none of the classes, which is written as
            "(none)".
        limit: number of examples to write, the most suspicious first; None for all.
        verified: the verified pairs of the training set. They follow at the end of the table, with their label as given
            and, in a column ``verified``, the class that a person has found. None if there are none.
        filled: what a person has entered in an earlier table, which is kept; None for nothing.

    Raises:
        UserError: the file cannot be written.
    """
    rows = list(table_rows(issues, indices, classes, examples, true, limit))
    if verified is not None:
        rows = [row | {"verified": ""} for row in rows]
        rows += [dict.fromkeys(rows[0], "") | row for row in _verified_rows(verified, classes, examples)]
    write_rows(path, rows if filled is None else filled.kept(rows))


def _verified_rows(pairs: VerifiedPairs, classes: Sequence[str], examples: Examples) -> Iterator[dict[str, Any]]:
    """Yield the columns of verified pairs that are known: their scores are 0 or 1, because their class is certain."""
    for index, label, given in zip(*(part.tolist() for part in pairs), strict=True):
        yield {
            "index": index,
            "path": examples.listed(index) or "",
            "given": classes[given],
            "suggested": classes[label],
            "score": f"{float(label != given):.6f}",
            "uncertainty": f"{0:.6f}",
            "is_label_issue": label != given,
            "verified": classes[label],
        }


def table_rows(
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table, the most suspicious label first, as dicts by column; see :func:`write_table`."""
    others = [name for name in issues.scores if name != BEST]
    columns = {name: [f"{value:.6g}" for value in issues.scores[name].tolist()] for name in others}
    flagged = issues.flagged
    for row in issues.order()[:limit].tolist():
        index = int(indices[row])
        yield {
            "index": index,
            "path": examples.listed(index) or "",
            "given": class_name(classes, int(issues.given[row])),
            "suggested": class_name(classes, int(issues.suggested[row])),
            "score": f"{issues.score[row]:.6f}",
            "uncertainty": f"{issues.uncertainty[row]:.6f}",
            "is_label_issue": bool(flagged[row]),
            **{name: column[row] for name, column in columns.items()},
            **({"true": class_name(classes, int(true[row]))} if true is not None else {}),
        }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows with the same columns to a .csv file in UTF-8; names cannot be formulas of a spreadsheet.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = RowWriter(text)
    writer.write(list(rows[0]))
    for row in rows:
        writer.write([as_cell(value) if name in TEXTS else value for name, value in row.items()])
    write_atomically(path, printable(text.getvalue()).encode())


def printable(name: str) -> str:
    """Return a name in valid UTF-8; the bytes of a file name that are invalid are escaped with backslashes."""
    return name.encode(errors="backslashreplace").decode()


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class, or "(none)" for the label -1."""
    return NONE if label == NO_CLASS else classes[label]

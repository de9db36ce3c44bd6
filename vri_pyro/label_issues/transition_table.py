"""Write ``label_issues_transition.csv``: the estimated transition matrix with credible intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.utils.cells import RowWriter, as_cell
from vri_pyro.utils.files import first_line, write_atomically

COLUMNS = ("class", "given", "probability", "low", "high")


def write_transition_table(
    path: Path, found: TransitionPosterior, classes: Sequence[str], true: np.ndarray | None = None
) -> None:
    """Write one line per pair of classes: the probability that an example of the first is labelled as the second.

    The column ``probability`` is the mean over the draws of the matrix. The columns ``low`` and ``high`` are the ends
    of the central 95% interval. The mean may lie above the interval if an entry is nearly always 0.

    Args:
        path: the file to write, in UTF-8.
        found: draws of the transition matrix.
        classes: names of the classes, [K].
        true: true transition matrix, [K, K], if it is known. NaN, for a class without examples, is written as an empty
            field.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    writer = RowWriter(text)
    writer.write([*COLUMNS, *(["true"] if true is not None else [])])
    parts = [found.transition.mean(0), *found.interval()]
    for row, name in enumerate(classes):
        for column, given in enumerate(classes):
            values = [f"{float(part[row, column]):.6g}" for part in parts]
            if true is not None:
                values.append("" if np.isnan(true[row, column]) else f"{true[row, column]:.6g}")
            writer.write([as_cell(name), as_cell(given), *values])
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))  # class names may be invalid UTF-8


def is_transition_table(path: Path) -> bool:
    """Return whether a file has the columns of :func:`write_transition_table`."""
    return first_line(path).removesuffix(",true") == ",".join(COLUMNS)

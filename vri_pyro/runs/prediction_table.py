"""Write ``predictions.csv``: the predicted class and the class probabilities of each input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from vri_pyro.utils.cells import RowWriter, as_cell
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import replacing


def columns(classes: Sequence[str]) -> list[str]:
    """Return the header of the table: ``input``, ``prediction``, and ``p_NAME`` for each class."""
    return ["input", "prediction", *(as_cell(f"p_{name}") for name in classes)]


def write_predictions(
    path: Path,
    batches: Iterable[np.ndarray],
    classes: Sequence[str],
    name: Callable[[int], str],
    written: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write one row per input, batch by batch, so that memory does not grow with the number of inputs.

    Prediction and probabilities of an unreadable input, whose probabilities are NaN, are empty. Probabilities have nine
    digits, which identify a float32. An apostrophe is put before a name that a spreadsheet would compute as a formula,
    see :func:`~vri_pyro.utils.cells.as_cell`. The file is written atomically.

    Args:
        path: the file to write, in UTF-8.
        batches: class probabilities, float32 [n, K] per batch.
        classes: names of the classes.
        name: returns the name of the input at a position.
        written: called with the number of rows after each batch.

    Returns:
        the number of unreadable inputs.

    Raises:
        UserError: no input is readable, or the file cannot be written; an existing file stays unchanged.
    """
    names, rows, unreadable = [as_cell(each) for each in classes], 0, 0
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = RowWriter(file)
        writer.write(columns(classes))
        for probabilities in batches:
            for row, best in zip(probabilities.tolist(), probabilities.argmax(1).tolist(), strict=True):
                if np.isnan(row[0]):
                    unreadable += 1
                    writer.write([as_cell(name(rows)), *[""] * (1 + len(classes))])
                else:
                    writer.write([as_cell(name(rows)), names[best], *(f"{value:.9g}" for value in row)])
                rows += 1
            written(rows)
        if unreadable == rows:
            raise UserError(f"none of the {rows} inputs can be read, so {path} was not written; check the files")
        file.flush()
        os.fsync(file.fileno())
    return unreadable

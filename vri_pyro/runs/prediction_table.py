"""Write ``predictions.csv``: the predicted class and the class probabilities of each input."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from vri_pyro.utils.cells import RowWriter, as_cell, from_cell
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import first_line, replacing

SEPARATOR = "|"


def columns(classes: Sequence[str], with_sets: bool = False) -> list[str]:
    """Return the header of the table: ``input``, ``prediction``, perhaps ``set``, and ``p_NAME`` for each class."""
    return ["input", "prediction", *(["set"] if with_sets else []), *(as_cell(f"p_{name}") for name in classes)]


def is_prediction_table(path: Path) -> bool:
    """Return whether a file has the header of :func:`write_predictions`, and no further column."""
    first, second, *others = next(csv.reader([first_line(path)]))
    own = all(name == "set" or from_cell(name).startswith("p_") for name in others)
    return own and [first, second] == columns(())


def write_predictions(
    path: Path,
    batches: Iterable[np.ndarray],
    classes: Sequence[str],
    name: Callable[[int], str],
    written: Callable[[int], None] = lambda rows: None,
    sets: Callable[[np.ndarray], np.ndarray] | None = None,
    calibrate: Callable[[np.ndarray], np.ndarray] | None = None,
) -> int:
    """Write one row per input, batch by batch, so that memory does not grow with the number of inputs.

    Prediction and probabilities of an unreadable input, whose probabilities are NaN, are empty. Probabilities have nine
    digits. An apostrophe is put before a name that a spreadsheet would compute as a formula,
    see :func:`~vri_pyro.utils.cells.as_cell`. The file is written atomically.

    Args:
        path: the file to write, in UTF-8.
        batches: class probabilities, [n, K] per batch.
        classes: names of the classes.
        name: returns the name of the input at a position.
        written: called with the number of rows after each batch.
        sets: returns for a batch whether each class belongs to the prediction set of each input, bool [n, K]. The
            column ``set`` then has the names of the classes in the set, the most probable first, separated by "|".
        calibrate: returns the probabilities to write, of the same shape as the batch.

    Returns:
        the number of unreadable inputs.

    Raises:
        UserError: no input is readable, a class name contains the separator of sets, or the file cannot be written; an
            existing file stays unchanged.
    """
    if sets is not None and (broken := [each for each in classes if SEPARATOR in each]):
        raise UserError(
            f"the class name {broken[0]!r} contains {SEPARATOR!r}, which separates the names in a set; use "
            "CalibratedPredictor in Python"
        )
    names, rows, unreadable = [as_cell(each) for each in classes], 0, 0
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = RowWriter(file)
        writer.write(header := columns(classes, sets is not None))
        for probabilities in batches:
            listed = [[]] * len(probabilities) if sets is None else _listed(probabilities, sets(probabilities), names)
            shown = probabilities if calibrate is None else calibrate(probabilities)
            for row, best, those in zip(shown.tolist(), probabilities.argmax(1).tolist(), listed, strict=True):
                if np.isnan(row[0]):
                    unreadable += 1
                    writer.write([as_cell(name(rows)), *[""] * (len(header) - 1)])
                else:
                    writer.write([as_cell(name(rows)), names[best], *those, *(f"{value:.9g}" for value in row)])
                rows += 1
            written(rows)
        if unreadable == rows:
            raise UserError(f"none of the {rows} inputs can be read, so {path} was not written; check the files")
        file.flush()
        os.fsync(file.fileno())
    return unreadable


def _listed(probabilities: np.ndarray, sets: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """Return the cell of each input's set, in a list."""
    order = (-probabilities).argsort(1, kind="stable")
    return [
        [SEPARATOR.join(names[number] for number in numbers if inside[number])]
        for numbers, inside in zip(order.tolist(), sets.tolist(), strict=True)
    ]

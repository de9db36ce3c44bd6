"""Read a person's corrections of labels, from a table or from Label Studio."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data import Examples, Split
from vri_pyro.data.class_labels import shown_classes
from vri_pyro.data.validation import NO_CLASS, NOT_CHECKED
from vri_pyro.label_issues.label_studio import SKIPPED, read_annotations
from vri_pyro.label_issues.table import NONE, printable
from vri_pyro.utils.cells import from_cell, other_separator
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.spelling import nearest

_COLUMNS = ("corrected", "verified", "label")  # the first one that a table has is read


def read_corrections(
    path: Path, split: Split, classes: Sequence[str], examples: Examples
) -> tuple[np.ndarray, np.ndarray]:
    """Read the corrected and confirmed labels of training examples.

    The file is a .csv table or a JSON export of Label Studio (suffix .json). A table has a column ``corrected``,
    ``verified`` or ``label`` with class names, and ``index`` or ``path`` or both, as in ``label_issues.csv``. Rows
    with an empty label have not been reviewed and are ignored. The label "(none)" marks an example of no class. The
    apostrophe that ``label_issues.csv`` has before a name that looks like a formula may stay or go.

    Args:
        path: the file.
        split: split of the run.
        classes: names of the classes.
        examples: the training set.

    Returns:
        the positions of the reviewed examples, int64 [C], ascending, and their labels, int64 [C], -1 for no class; the
        arguments of :meth:`Split.corrected <vri_pyro.data.Split.corrected>`.

    Raises:
        UserError: the file is missing or damaged, lacks a column, or has no corrections; a row has an unknown index,
            path or class, or disagrees with the run or with another row.
    """
    rows = ((place, row | {"label": NONE if row["label"] == SKIPPED else row["label"]}) for place, row in _rows(path))
    found = _labels_by_index(path, ((place, row) for place, row in rows if row["label"]), split, classes, examples)
    if not found:
        raise UserError(f"{path} has no corrections; fill in the labels of the examples that were reviewed")
    return _as_arrays(found)


def read_answers(path: Path, split: Split, classes: Sequence[str], examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Read the answers to a list of labels that were chosen for a check, with the labels that have no answer.

    The file is that of :func:`read_corrections`. A row with an empty label has no answer. Neither has a task of Label
    Studio that was skipped, or is without an annotation.

    Args:
        path, split, classes, examples: see :func:`read_corrections`.

    Returns:
        the positions of all examples in the file, int64 [C], ascending, and their labels, int64 [C], -1 for no class
        and -2 without an answer.

    Raises:
        UserError: as :func:`read_corrections`.
    """
    rows = [(place, row | {"label": "" if row["label"] == SKIPPED else row["label"]}) for place, row in _rows(path)]
    found = _labels_by_index(path, rows, split, classes, examples)
    if all(label == NOT_CHECKED for _, label in found.values()):
        raise UserError(f"{path} has no answers; fill in the right classes of the labels that were checked")
    return _as_arrays(found)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a table or export, with their places; an empty label stands for no answer."""
    expected = "expected a .csv table or a .json export of Label Studio"
    if not path.is_file():
        raise UserError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; {expected}")
    return read_annotations(path) if path.suffix == ".json" else _table(path)


def _labels_by_index(
    path: Path,
    rows: Iterable[tuple[str, dict[str, Any]]],
    split: Split,
    classes: Sequence[str],
    examples: Examples,
) -> dict[int, tuple[str, int]]:
    """Return the place and the label of each example; an answer counts more than none in another row."""
    reader = _Reader(split, classes, examples)
    found: dict[int, tuple[str, int]] = {}
    for place, row in rows:
        where = f"{path}, {place}"
        index = reader.index(where, row)
        label = reader.label(where, row["label"]) if row["label"] else NOT_CHECKED
        first, before = found.get(index, (place, NOT_CHECKED))
        if NOT_CHECKED not in (before, label) and before != label:
            raise UserError(
                f"{where}: example {index} has the label {row['label']!r} but another one in {first}; keep one of them"
            )
        found[index] = (place, label) if before == NOT_CHECKED else (first, before)
    return found


def _as_arrays(found: dict[int, tuple[str, int]]) -> tuple[np.ndarray, np.ndarray]:
    indices = np.array(sorted(found))
    return indices, np.array([found[index][1] for index in indices.tolist()])


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a table that name an example or have a label, with their line numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True)
            there = list(reader.fieldnames or ())
            column = next((name for name in _COLUMNS if name in there), None)
            if column is None or not {"index", "path"} & set(there):
                remedy = other_separator(there) or (
                    "expected a column index or path, and a column corrected, verified or label"
                )
                raise UserError(f"{path} has the columns {', '.join(there) or 'none'}; {remedy}")
            for cells in reader:
                row = {name: from_cell(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
                label = (row[column] or "").strip()
                if label or any((row.get(name) or "").strip() for name in ("index", "path")):
                    yield f"line {reader.line_num}", row | {"label": label}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a table in UTF-8 ({error}); save it as CSV UTF-8") from error


class _Reader:
    """Finds the example and the class that a row names."""

    def __init__(self, split: Split, classes: Sequence[str], examples: Examples) -> None:
        self._classes = {NONE: NO_CLASS} | {printable(name): label for label, name in enumerate(classes)}
        self._names = [printable(examples.listed(index) or "") for index in range(split.num_train)]
        self._index_of = {name: index for index, name in enumerate(self._names) if name}
        given = zip(split.noisy_indices.tolist(), split.given_labels.tolist(), strict=True)
        self._given = {index: printable(classes[label]) for index, label in given}

    def index(self, where: str, row: dict[str, Any]) -> int:
        """Return the position of the example of a row."""
        number, path = (str("" if row.get(name) is None else row[name]).strip() for name in ("index", "path"))
        if not number:
            if path not in self._index_of:
                raise UserError(f"{where}: there is no training example with the path {path!r}; correct the path")
            return self._index_of[path]
        number = _without_decimals(number)
        if not number.isdecimal() or int(number) >= len(self._names):
            raise UserError(
                f"{where}: the index is {number}; expected the position of a training example, from 0 to "
                f"{len(self._names) - 1}"
            )
        index = int(number)
        for name, told, own in (
            ("path", path, self._names[index]),
            ("given label", row.get("given") or "", self._given.get(index, "")),
        ):
            if told and own and told != own:
                raise UserError(
                    f"{where}: the {name} of example {index} is {told!r} but {own!r} in the run; use corrections of "
                    "this run"
                )
        return index

    def label(self, where: str, name: str) -> int:
        """Return the number of a class; -1 for none of the classes."""
        name = name if name in self._classes else _without_decimals(name)
        if name not in self._classes:
            near = nearest(name, self._classes)
            remedy = (
                f"the classes are {shown_classes([*self._classes])}" if near is None else f"the nearest is {near!r}"
            )
            raise UserError(f"{where}: there is no class {name!r}; {remedy}")
        return self._classes[name]


def _without_decimals(text: str) -> str:
    """Return "2" for "2.0", as pandas writes the integers of a column that has empty cells."""
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text

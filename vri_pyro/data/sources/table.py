"""Images listed in a .csv or .parquet table."""

from __future__ import annotations

import csv
import os
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.declared_size import check_parquet
from vri_pyro.data.inside_root import check_inside
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, check_there, class_name, streamed_arrays, warn_of_no_trusted_labels
from vri_pyro.data.sources.verified_cells import VERIFIED, checked_class
from vri_pyro.data.validation import UNCHECKED
from vri_pyro.utils.cells import other_separator
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import checked_path
from vri_pyro.utils.numbers import counted
from vri_pyro.utils.spelling import check_spelling

_SPLIT = "split"  # name of the column that may be missing
_PARTS = {"train": "noisy", "noisy": "noisy", "clean": "clean", "validation": "validation", "test": "test"}


@accepts_old_arguments
@dataclass(frozen=True)
class Table(Source):
    """Images listed in a .csv or .parquet file with path, label and optionally split, streamed.

    The file has one row per image. A path that occurs twice is read once if the rows agree, and is an error if their
    labels or splits differ. The values of the split column are ``train`` (or ``noisy``), ``clean``,
    ``validation`` and ``test``; a file without the column has ``train`` rows only. Without ``clean`` rows, the clean
    set is drawn from the ``train`` rows, with a warning. The ``clean`` rows must be a random sample of each class, not
    the first rows or the easiest images.
    The classes are the sorted labels of the file, sorted numerically if all of them are numbers. A row whose label
    somebody has checked may keep its label as given and have the checked class in the column ``verified``: it is then
    trusted, and both labels are used.

    Attributes:
        path: the table. A .csv file must have a header.
        image_root: folder to which the image paths are relative; None for the folder of the table.
        size: side of the square to which images are scaled and cropped, in pixels.
        path_column: name of the column with image paths.
        label_column: name of the column with labels.
        split_column: name of the column with splits; it may be missing if the name is ``split``.
        true_label_column: name of the column with the true labels of the ``train`` rows, if they are known. The column
            must be filled in all rows, and the file must not have ``clean`` or ``validation`` rows.
        verified_column: name of the column with checked classes, empty or -1 in rows that nobody has checked; None for
            the column ``verified``, if there is one.
        verified: whether the labels of the ``train`` rows are known to be correct. If true, noise can be injected into
            them and a clean set drawn from them without a warning.
        outside_root: whether image paths may lead out of ``image_root``: as absolute paths, by ``..``, or through
            symbolic links.
        bits: number of bits per channel of images with more than 8, such as 16 or 12. If None, it is 16, and images
            that may have fewer are refused.
    """

    path: str | Path
    image_root: str | Path | None = None
    size: int = 64
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = _SPLIT
    true_label_column: str | None = None
    verified: bool = False
    outside_root: bool = False
    bits: int | None = None
    verified_column: str | None = None

    def load(self) -> Arrays:
        """Read the table, without reading any image.

        Raises:
            UserError: the file is missing, has an unsupported type or lacks a column, a row lacks a value, a path leads
                out of ``image_root``, or two rows contradict each other.

        Warns:
            UserWarning: rows repeat others, or there are no trusted labels.
        """
        file = checked_path("path", self.path)
        check_there(file, "a .csv or .parquet file with one row per image")
        if not file.is_file():
            raise UserError(f"{file} is not a file; expected a .csv or .parquet file with one row per image.")
        columns = [self.path_column, self.label_column]
        columns += [self.true_label_column] if self.true_label_column else []
        header = _header(file)
        if self.split_column != _SPLIT or _SPLIT in header:
            columns.append(self.split_column)
        root = Path(self.image_root) if self.image_root is not None else file.parent
        check_there(root, "the folder of the images")
        checked = self.verified_column or (VERIFIED if VERIFIED in header else None)
        read = ((_SPLIT, self.split_column), (VERIFIED, self.verified_column or VERIFIED))
        check_spelling(f"{file}", header, {name: name for name, chosen in read if name == chosen}, "column")
        rows = list(_checked(file, _rows(file, columns + ([checked] if checked else [])), columns, checked))
        if not self.outside_root:
            paths = ((number, row[self.path_column]) for number, row in enumerate(rows, start=1))
            check_inside(file, root, paths, "row", self._remedy())
        labels = [row[name] for row in rows for name in columns[1:] if name != self.split_column]
        classes = _sorted_names(set(labels))
        numbers = {name: number for number, name in enumerate(classes)}
        parts, truth = {part: Listed() for part in ("noisy", "clean", "validation", "test")}, []
        for number, row in self._distinct(file, rows):
            part = _PARTS.get(split := row.get(self.split_column, "train"))
            if part is None:
                known = ", ".join(_PARTS)
                raise UserError(f"{file}, row {number}: {self.split_column} is {split!r}; expected one of {known}.")
            label = numbers[row[self.label_column]]
            own = checked_class(row[checked], numbers, f"{file}, row {number}: {checked}") if checked else None
            if part != "noisy" and own not in (None, UNCHECKED, label):
                raise UserError(
                    f"{file}, row {number}: {self.split_column} is {split!r}, so the label {row[self.label_column]!r} "
                    f"is trusted, but {checked} is {classes[own]!r}; correct the label, or set the split to train."
                )
            parts[part].add(row[self.path_column], label, own)
            if self.true_label_column and part == "noisy":
                truth.append(numbers[row[self.true_label_column]])
        if self.true_label_column:
            return self._with_truth(root, classes, parts, truth)
        if not parts["clean"].paths and not self.verified and not checked:
            warn_of_no_trusted_labels(f"{file}", f"mark trusted rows with {self.split_column} = clean")
        there = {part: listed for part, listed in parts.items() if listed.paths or part == "noisy"}
        return streamed_arrays(root, classes, self.size, **there, verified=self.verified, bits=self.bits)

    def _remedy(self) -> str:
        place = "set image_root to a folder that holds all images" if self.image_root is None else "correct the path"
        return f"{place}, or allow it with outside_root: true (--data.outside_root true)"

    def _distinct(self, file: Path, rows: list[dict[str, str]]) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the rows with their numbers, from 1, without those that repeat others."""
        first: dict[str, int] = {}
        repeated = []
        for number, row in enumerate(rows, start=1):
            other = first.setdefault(_normal(row[self.path_column]), number)
            if other == number:
                yield number, row
                continue
            self._check_agreement(file, other, rows[other - 1], number, row)
            repeated.append(number)
        if repeated:
            warnings.warn(
                f"{file} lists {counted(len(repeated), 'image')} again (the first in row {repeated[0]}); each is read "
                "once",
                stacklevel=3,
            )

    def _check_agreement(self, file: Path, first: int, one: dict[str, str], second: int, other: dict[str, str]) -> None:
        for name in [key for key in one if key != self.path_column]:
            values = one[name], other[name]
            if name == self.split_column:
                values = _PARTS.get(values[0], values[0]), _PARTS.get(values[1], values[1])
            if values[0] != values[1]:
                raise UserError(
                    f"{file}, rows {first} and {second} list the same image {other[self.path_column]} with {name} "
                    f"{one[name]!r} and {other[name]!r}; keep one of the rows."
                )

    def _with_truth(self, root: Path, classes: list[str], parts: dict[str, Listed], truth: list[int]) -> Arrays:
        if parts["clean"].paths or parts["validation"].paths:
            raise UserError(
                f"{self.path} has true labels, so clean and validation rows are not allowed; remove these rows or do "
                "not set true_label_column."
            )
        arrays = streamed_arrays(
            root, classes, self.size, parts["noisy"], parts["test"] if parts["test"].paths else None, bits=self.bits
        )
        return replace(arrays, y_train_clean=np.array(truth, dtype=np.int64))


def _normal(path: str) -> str:
    """Return a path such that two spellings of it, such as a.png and ./a.png, are equal."""
    return os.path.normpath(unicodedata.normalize("NFC", path))


def _header(file: Path) -> list[str]:
    """Return the names of the columns."""
    if file.suffix == ".parquet":
        with _parquet(file) as parquet:
            return parquet.read_schema(file).names
    if file.suffix == ".csv":
        with _csv(file) as lines:
            return next(csv.reader(lines), [])
    raise UserError(f"{file} has an unsupported type; expected a .csv or .parquet file.")


def _rows(file: Path, columns: list[str]) -> Iterator[dict[str, object]]:
    """Yield the values of the given columns, row by row."""
    _check_columns(file, columns, _header(file))
    if file.suffix == ".parquet":
        with _parquet(file) as parquet:
            check_parquet(file, parquet.read_metadata(file), len(columns))
            rows = parquet.read_table(file, columns=columns).to_pylist()
        yield from rows
    else:
        with _csv(file) as lines:
            for number, row in enumerate(csv.DictReader(lines), start=1):
                if None in row:
                    raise UserError(f"{file}, row {number}: there are more values than columns; correct the row.")
                yield row


@contextmanager
def _csv(file: Path) -> Iterator[Any]:
    """Open a .csv file, and say in one sentence what is wrong with it."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            yield lines
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a .csv file in UTF-8 ({error}); write it again.") from error


@contextmanager
def _parquet(file: Path) -> Iterator[Any]:
    """Import pyarrow's parquet module, and say in one sentence what is wrong with the file."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise UserError(f"Reading {file} needs pyarrow: pip install 'vri-pyro[tables]'.") from error
    try:
        yield parquet
    except ArrowInvalid as error:
        raise UserError(f"{file} is damaged or not a .parquet file; write it again.") from error


def _check_columns(file: Path, columns: list[str], there: list[str]) -> None:
    if missing := [name for name in columns if name not in there]:
        if remedy := other_separator(there):
            raise UserError(f"{file} has one column, {there[0]!r}; {remedy}.")
        raise UserError(
            f"{file} lacks the columns {', '.join(missing)} (it has {', '.join(there) or 'none'}); "
            "add them or change the column options. Table lists image files; features can be read with NpzFile."
        )
    if twice := [name for name in columns if there.count(name) > 1]:
        raise UserError(f"{file} has more than one column {twice[0]!r}; rename one of them.")


def _checked(
    file: Path, rows: Iterator[dict[str, object]], columns: list[str], may_be_empty: str | None
) -> Iterator[dict[str, str]]:
    """Yield the values as text; the first column is the path, which stays as it is spelled."""
    for number, row in enumerate(rows, start=1):
        for name in columns:
            if row[name] is None or str(row[name]).strip() == "":
                raise UserError(f"{file}, row {number}: {name} is empty; fill it in or remove the row.")
        path, *others = (str(row[name]).strip() for name in columns)
        found = dict(zip(columns, [path, *map(class_name, others)], strict=True))
        if may_be_empty is not None:
            value = row[may_be_empty]
            found[may_be_empty] = "" if value is None or value != value else class_name(str(value).strip())
        yield found


def _sorted_names(labels: set[str]) -> list[str]:
    """Sort labels, numerically (2 before 10) if all of them are numbers."""
    numeric = all(label.isdecimal() for label in labels)
    return sorted(labels, key=int) if numeric else sorted(labels)

"""Keep what a person has entered in a table of label issues when the table is written again."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vri_pyro.utils.cells import from_cell, other_separator
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_place
from vri_pyro.utils.numbers import counted

# Columns that the command computes; it also writes ``verified``, where a person may fill in the empty cells.
_COMPUTED = (
    *("filepath", "index", "path", "given", "suggested", "score", "uncertainty", "is_label_issue", "self_confidence"),
    *("margin", "loss", "rectification", "surprise", "clean_class", "open_set"),
)
_NEEDED = ("index", "given", "suggested", "score")
_REMEDY = "move the file away, or choose another --output"


@dataclass(frozen=True)
class FilledIn:
    """Cells of a table that a person has filled in.

    Attributes:
        columns: names of the columns that the command does not compute.
        cells: filled-in cells by column, by the index of the example.
        given: given label of these examples in the table.
    """

    columns: tuple[str, ...] = ()
    cells: dict[int, dict[str, str]] = field(default_factory=dict)
    given: dict[int, str] = field(default_factory=dict)

    def kept(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of a new table with the filled-in cells, wherever the row has no value of its own."""
        nothing: dict[str, str] = {}
        return [
            row
            | {name: self.cells.get(row["index"], nothing).get(name, "") for name in self.columns if not row.get(name)}
            for row in rows
        ]

    def __str__(self) -> str:
        names = dict.fromkeys(name for cells in self.cells.values() for name in cells)
        cells = counted(sum(map(len, self.cells.values())), "filled-in cell")
        return f"{cells} of the column{'' if len(names) == 1 else 's'} {', '.join(names)}"


def read_filled_in(
    path: Path, given: Mapping[int, str], verified: Mapping[int, str], truth: bool, limit: int | None = None
) -> FilledIn:
    """Read the filled-in cells of an earlier table, if there is one.

    Args:
        path: the table that is to be written again.
        given: name of the given label by index, of all examples that the new table has.
        verified: name of the verified class by index, which the new table has in its column ``verified``.
        truth: whether the new table has a column ``true``.
        limit: number of examples of the new table; None for all.

    Raises:
        UserError: the file is not a table of label issues, or a filled-in cell would be lost.
    """
    check_place(path)
    if not path.is_file() or not path.stat().st_size:
        return FilledIn()
    header, rows = _table(path)
    columns = tuple(name for name in header if name and name not in _COMPUTED and not (truth and name == "true"))
    found = FilledIn(columns)
    for line, row in rows:
        cells = {name: row[name] for name in columns if row[name].strip()}
        if not cells:
            continue
        index = row["index"].strip().removesuffix(".0")
        if not index.isdecimal() or int(index) in found.cells:
            raise UserError(f"{path}, line {line}, which is filled in, has no index of its own; {_REMEDY}")
        found.cells[int(index)], found.given[int(index)] = cells, row["given"]
    _drop_own(path, found, verified)
    _check_kept(path, found, given, limit)
    return found


def _table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the columns of a table, and its rows with their line numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if missing := [name for name in _NEEDED if name not in header]:
                why = other_separator(header) or f"it has no column {missing[0]}"
                raise UserError(f"{path} already exists and is not a table of label issues ({why}); {_REMEDY}")
            return header, [
                (reader.line_num, dict(_cells(path, reader.line_num, header, row))) for row in reader if row
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} already exists and is not a table in UTF-8 ({error}); {_REMEDY}") from error


def _cells(path: Path, line: int, header: Sequence[str], row: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the cells of a row by the name of their column; raise if a filled-in one has no name of its own."""
    for place, cell in enumerate(row):
        name = header[place] if place < len(header) else ""
        if cell.strip() and (not name or header.index(name) != place):
            raise UserError(
                f"{path}, line {line}: the cell {cell!r} is in a column without a name of its own, and would be lost; "
                "name the column"
            )
        if name:
            yield name, from_cell(cell) if name in ("given", "verified") else cell
    yield from ((name, "") for name in header[len(row) :])


def _drop_own(path: Path, found: FilledIn, verified: Mapping[int, str]) -> None:
    """Forget the verified classes that the command itself has written; raise if one was changed."""
    for index in verified.keys() & found.cells.keys():
        told = found.cells[index].pop("verified", verified[index])
        if told != verified[index]:
            raise UserError(
                f"{path} would lose an answer: the verified class of example {index} is {told!r} there and "
                f"{verified[index]!r} in the run; {_REMEDY}"
            )
        if not found.cells[index]:
            del found.cells[index], found.given[index]


def _check_kept(path: Path, found: FilledIn, given: Mapping[int, str], limit: int | None) -> None:
    """Raise if the new table would not have a row of an example with filled-in cells."""
    if found.cells and limit is not None:
        raise UserError(f"{path} has {found}, which a table of {limit} examples could lose; {_REMEDY}")
    for index, name in found.given.items():
        if given.get(index) != name:
            why = f"has the given label {given[index]!r}" if index in given else "is not ranked"
            raise UserError(
                f"{path} has {found}, but example {index}, whose given label is {name!r} there, {why} in the run; "
                f"{_REMEDY}"
            )

"""Names in .csv files, which may contain anything: a name is one cell, and a spreadsheet does not compute it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import TextIO

# Spreadsheets compute a cell that begins with one of these characters. Where the separator of a locale is a semicolon,
# a semicolon begins a new cell; when text is pasted, so does a tab.
_FORMULA = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_BEGINNING = r"(^|[;\t\r\n])(\s*)"
_UNSAFE = re.compile(rf"{_BEGINNING}('*)(?={_FORMULA})")
_SAFE = re.compile(rf"{_BEGINNING}'('*)(?={_FORMULA})")


def as_cell(text: str) -> str:
    """Return a text that no spreadsheet computes: an apostrophe is put before a formula, as in ``'=1+1``.

    Numbers are not for this function: it also marks a text that begins with a minus sign. :func:`from_cell` returns
    the original text.
    """
    return _UNSAFE.sub(r"\1\2'\3", text)


def from_cell(cell: str) -> str:
    """Return the text of which :func:`as_cell` made a cell; other texts are unchanged."""
    return _SAFE.sub(r"\1\2\3", cell)


class RowWriter:
    """Writes rows of a .csv file. Unlike :func:`csv.writer`, it quotes carriage returns, which would end a row.

    Args:
        file: a text file, opened with ``newline=""``.
    """

    def __init__(self, file: TextIO) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, row: Sequence[object]) -> None:
        """Write a row."""
        returns = any("\r" in cell for cell in row if isinstance(cell, str))
        (self._quoted if returns else self._plain).writerow(row)


def other_separator(header: Sequence[str]) -> str:
    """Return a remedy if a header of one column shows that commas do not separate the columns; otherwise "".

    Args:
        header: the names of the columns, as read with commas.
    """
    if len(header) != 1:
        return ""
    found = next((name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in header[0]), None)
    return f"its columns are separated by {found}, so save it with commas" if found else ""

"""Text in .csv files that a spreadsheet does not take for a formula."""

from __future__ import annotations

import re

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

"""Hostile names are shown as text, are cells of a table, and lose the folders of their paths."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from vri_pyro.utils.cells import RowWriter, as_cell, from_cell
from vri_pyro.utils.console import SafeConsole, visible
from vri_pyro.utils.paths import options_without_folders, without_folders

NAMES = st.text(alphabet="=+-@\t\r\n;' ,\"ab|\uff1d", max_size=12)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb", r"a\rb"),
        ("cat\u202egnp.exe", r"cat\u202egnp.exe"),
        ("\udc80", r"\udc80"),
        ("a\u2028b", r"a\u2028b"),
        ("two\nlines\tand é, 日本語, 👩\u200d🔬", "two\nlines\tand é, 日本語, 👩\u200d🔬"),
    ],
)
def test_control_and_bidirectional_characters_are_escaped_and_letters_are_not(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize("name", ["[red]x[/red]", "\x1b[31mx", "a\x07b", ":smile:", "x\u202ey", "[/]"])
def test_console_shows_names_as_text(name: str) -> None:
    console = SafeConsole(file=io.StringIO(), width=40)
    table = Table(name)
    table.add_row(name)
    for one in (name, Text(name), table):
        console.print(one)
    said = console.file.getvalue()
    assert said.count(visible(name)) >= 3
    assert visible(said) == said


@given(NAMES)
def test_cell_is_no_formula_and_returns_the_name(name: str) -> None:
    cell = as_cell(name)
    assert from_cell(cell) == name
    assert not re.search(r"(^|[;\t\r\n])\s*[=+\-@\uff1d]", cell)


@pytest.mark.parametrize("name", ["cat", "a-b", "1+1=2", "it's", "'quoted'", "c@t", "photos/-1.png"])
def test_name_that_is_no_formula_is_unchanged(name: str) -> None:
    assert as_cell(name) == name


@given(st.lists(st.lists(NAMES, min_size=2, max_size=2), min_size=1, max_size=5))
def test_every_name_is_one_cell(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    writer = RowWriter(file)
    for row in rows:
        writer.write(row)
    assert [*csv.reader(io.StringIO(file.getvalue(), newline=""))] == rows


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/home/me/my data/x.npz", "…/x.npz"),
        ("C:\\Users\\me\\x.npz", "…/x.npz"),
        ("Labels(file=PosixPath('/home/me/my data/x.pt'), key='a/b')", "Labels(file=PosixPath('…/x.pt'), key='a/b')"),
        ("read ~/x/y.png and /tmp/z.png, then http://a.org/b", "read …/y.png and …/z.png, then http://a.org/b"),
        ("photos/cat.png", "photos/cat.png"),
        ("Flip(rate=0.4)", "Flip(rate=0.4)"),
        ("1/2", "1/2"),
    ],
)
def test_absolute_paths_lose_their_folders(text: str, short: str) -> None:
    assert without_folders(text) == short


def test_options_lose_the_folders_of_their_paths() -> None:
    options = {"output": "/home/me/run", "data": {"files": ["/a/b.png", 3, None]}}
    assert options_without_folders(options) == {"output": "…/run", "data": {"files": ["…/b.png", 3, None]}}

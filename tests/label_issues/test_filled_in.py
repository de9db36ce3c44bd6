"""Cells that a person has filled in stay when a table is written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vri_pyro.label_issues.filled_in import FilledIn, read_filled_in
from vri_pyro.utils.errors import UserError

HEADER = "index,path,given,suggested,score,verified,true,note"
GIVEN = {4: "cat", 5: "=dog", 9: "cat"}


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_cells_of_further_columns_and_empty_cells_of_verified_are_kept(tmp_path: Path) -> None:
    rows = ("5,,'=dog,cat,0.9,'=dog,dog,=1+1", "4.0,,cat,cat,0.1,,cat,", "9,,cat,dog,1.0,dog,,")
    path = table(tmp_path / "t.csv", *rows)
    found = read_filled_in(path, GIVEN, {9: "dog"}, truth=True)
    assert found.cells == {5: {"verified": "=dog", "note": "=1+1"}}  # 9 is the command's own
    assert str(found) == "2 filled-in cells of the columns verified, note"
    new = [{"index": index, "score": "0.5", "verified": name} for index, name in ((4, ""), (5, ""), (9, "dog"))]
    kept = found.kept(new)
    assert [row["verified"] for row in kept] == ["", "=dog", "dog"]
    assert [row["note"] for row in kept] == ["", "=1+1", ""]
    assert read_filled_in(path, GIVEN, {9: "dog"}, truth=False).cells[5]["true"] == "dog"  # somebody's own column


def test_nothing_is_kept_without_a_table(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    for name in ("none.csv", "empty.csv"):
        assert read_filled_in(tmp_path / name, GIVEN, {}, truth=False) == FilledIn()
    assert FilledIn().kept([{"index": 1}]) == [{"index": 1}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("7,,cat,cat,0.1,,,mine",), "example 7, whose given label is 'cat' there, is not ranked in the run; move"),
        (("4,,dog,cat,0.1,,,mine",), "is 'dog' there, has the given label 'cat' in the run; move the file away"),
        (("4,,cat,cat,0.1,,,mine", "4,,cat,cat,0.1,,,yours"), "line 3, which is filled in, has no index of its own"),
        (("9,,cat,dog,1.0,cat,,",), "the verified class of example 9 is 'cat' there and 'dog' in the run"),
        (("4,,cat,cat,0.1,,,,mine",), "line 2: the cell 'mine' is in a column without a name of its own"),
    ],
)
def test_cells_that_would_be_lost_are_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_filled_in(table(tmp_path / "t.csv", *rows), GIVEN, {9: "dog"}, truth=False)

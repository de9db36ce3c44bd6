"""Reading a person's corrections."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import Arrays, DeviceData, Examples, Flip, ImageFiles, Split, StreamedData, make_split
from vri_pyro.label_issues import read_corrections
from vri_pyro.utils.errors import UserError

CLASSES = ("cat", "dog", os.fsdecode(b"\xfcgly"))
COUNT = 30


@pytest.fixture
def split() -> Split:
    x, y = np.zeros((COUNT, 2), dtype=np.float32), np.arange(COUNT) % 3
    return make_split(Arrays(x, y, x[:3], y[:3], CLASSES), Flip(0.4), 2, 1, None, seed=0)


def arrays() -> Examples:
    return DeviceData(np.zeros((COUNT, 2), dtype=np.float32), np.zeros(COUNT), "cpu", np.zeros(2), np.ones(2))


def files() -> Examples:
    names = [os.fsdecode(b"gr\xfcn.png"), *(f"img/{number}.png" for number in range(1, COUNT))]
    return StreamedData(ImageFiles("nowhere", names, 4), np.zeros(COUNT), "cpu", np.zeros(3), np.ones(3))


def read(path: Path, text: str | bytes, split: Split, examples: Examples | None = None) -> dict[int, int]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    indices, labels = read_corrections(path, split, CLASSES, examples or arrays())
    assert (np.diff(indices) > 0).all()
    return dict(zip(indices.tolist(), labels.tolist(), strict=True))


def annotated(index: object, *choices: str | None, **data: object) -> dict[str, Any]:
    """A task of Label Studio's JSON export; a choice of None is a skipped task."""
    return {
        "id": 1,
        "data": {"index": index, "path": "", "image": "/data/local-files/?d=x"} | data,
        "predictions": [{"result": [{"type": "choices", "value": {"choices": ["cat"]}}]}],
        "annotations": [
            {"was_cancelled": True, "result": []}
            if choice is None
            else {"was_cancelled": False, "result": [{"type": "choices", "value": {"choices": [choice]}}]}
            for choice in choices
        ],
    }


def test_reviewed_rows_of_a_table_are_read_and_others_ignored(tmp_path: Path, split: Split) -> None:
    text = "\ufeffindex,path,corrected,label\n7,,dog,cat\n3,, cat ,dog\n4,,,dog\n5,,(none),dog\n9,,\\udcfcgly,cat\n"
    assert read(tmp_path / "a.csv", text, split) == {3: 0, 5: -1, 7: 1, 9: 2}


def test_rows_can_name_examples_by_path(tmp_path: Path, split: Split) -> None:
    text = "path,label\nimg/5.png,dog\ngr\\udcfcn.png,cat\n"
    assert read(tmp_path / "a.csv", text, split, files()) == {0: 0, 5: 1}


def test_annotations_of_label_studio_are_read(tmp_path: Path, split: Split) -> None:
    tasks = [annotated(4, "dog", "dog"), annotated(5, None), annotated(6), annotated(0, "(none)"), annotated(9, "cat")]
    assert read(tmp_path / "a.json", json.dumps(tasks), split) == {0: -1, 4: 1, 5: -1, 9: 0}
    by_path = [annotated(None, "dog", path="img/8.png")]
    assert read(tmp_path / "a.json", json.dumps(by_path), split, files()) == {8: 1}


def test_same_correction_twice_counts_once(tmp_path: Path, split: Split) -> None:
    assert read(tmp_path / "a.csv", "index,label\n7,dog\n7,dog\n", split) == {7: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"a\.csv has the columns none; expected a column index or path, and a column corrected, verified or label",
        ),
        ("index,given\n1,cat\n", "has the columns index, given; expected"),
        ("name,label\n1,cat\n", "has the columns name, label; expected"),
        ("index,label\n", r"a\.csv has no corrections; fill in"),
        ("index,corrected\n3,\n4,\n", "has no corrections"),
        ("index,label\n3,cat\n30,cat\n", r"a\.csv, line 3: the index is 30; .* from 0 to 29"),
        ("index,label\n-1,cat\n", "line 2: the index is -1"),
        ("index,label\n1.5,cat\n", r"line 2: the index is 1\.5"),
        ("index,label\n,cat\n", "line 2: there is no training example with the path ''"),
        ("path,label\nimg/77.png,cat\n", "line 2: there is no training example with the path 'img/77.png'"),
        ("index,label\n3,Dog\n", "line 2: there is no class 'Dog'; the nearest is 'dog'"),
        ("index,label\n3,zebra\n", r"there is no class 'zebra'; the classes are '\(none\)', 'cat', 'dog'"),
        ("index,label\n3,none\n", r"there is no class 'none'; the nearest is '\(none\)'"),
        ("index,label\n3,cat\n4,dog\n3,dog\n", "line 4: example 3 has the label 'dog' but another one in line 2; keep"),
        ("index,path,label\n3,img/4.png,cat\n", "the path of example 3 is 'img/4.png' but 'img/3.png' in the run"),
        (b"index,label\n3,\xfcgly\n", "is not a table in UTF-8"),
    ],
)
def test_unusable_table_raises_with_the_line(tmp_path: Path, split: Split, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.csv", text, split, files())


def test_table_of_another_run_is_noticed_by_its_given_labels(tmp_path: Path, split: Split) -> None:
    index, label = int(split.noisy_indices[0]), int(split.given_labels[0])
    row = "index,given,corrected\n{},{},dog\n"
    assert read(tmp_path / "a.csv", row.format(index, ["cat", "dog", "\\udcfcgly"][label]), split) == {index: 1}
    with pytest.raises(UserError, match=f"the given label of example {index} is 'mouse' but .* in the run"):
        read(tmp_path / "a.csv", row.format(index, "mouse"), split)
    corrected = split.corrected(np.array([index]), np.array([2]))  # the given label is not in this run any more
    assert read(tmp_path / "a.csv", row.format(index, "mouse"), corrected) == {index: 1}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "{}",
        '{"a": 1}',
        "[1]",
        '[{"data": {"index": 3}}]',
        '[{"annotations": [{"result": [{}]}]}]',
        "3",
        "null",
    ],
)
def test_file_that_is_no_export_of_label_studio_raises(tmp_path: Path, split: Split, content: str) -> None:
    with pytest.raises(UserError, match=r"a\.json (cannot be read .*; expected the export format JSON|has no corr)"):
        read(tmp_path / "a.json", content, split)


def test_annotators_who_disagree_are_reported(tmp_path: Path, split: Split) -> None:
    with pytest.raises(UserError, match="task 2: example 9 has the label 'dog' but another one in task 2; keep one"):
        read(tmp_path / "a.json", json.dumps([annotated(4, "cat"), annotated(9, "cat", "dog")]), split)


def test_missing_file_raises(tmp_path: Path, split: Split) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv does not exist; expected a \.csv table or a \.json export"):
        read_corrections(tmp_path / "nowhere.csv", split, CLASSES, arrays())

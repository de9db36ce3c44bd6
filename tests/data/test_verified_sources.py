"""Every source reads the checked classes beside the labels as given."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from published_layouts import image
from torch.utils.data import Dataset

from vri_pyro.data import (
    Arrays,
    FeatureFolder,
    HuggingFace,
    ImageFolder,
    NpzFile,
    Source,
    Table,
    TorchDatasets,
)
from vri_pyro.data.feature_files import Description, FeatureFiles
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.utils.errors import UserError

NAMES = ("cat", "dog")
GIVEN = np.array([0, 0, 0, 0, 1, 1, 1, 1])
VERIFIED = np.array([-1, 1, 0, -1, -1, 1, 0, -1])


class Pairs(Dataset[tuple[Any, int]]):
    """Black images with the labels as given."""

    def __len__(self) -> int:
        return len(GIVEN)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index >= len(GIVEN):
            raise IndexError(index)
        return np.zeros((8, 8, 3), dtype=np.uint8), int(GIVEN[index])


def in_words(numbers: np.ndarray) -> list[str]:
    return [NAMES[number] if number >= 0 else "" for number in numbers]


def npz(root: Path, **changes: Any) -> Source:
    arrays = {"x_train": np.zeros((8, 3), dtype=np.float32), "y_train": GIVEN, "verified": VERIFIED}
    np.savez(root / "data.npz", **(arrays | changes))
    return NpzFile(root / "data.npz")


def npz_of_names(root: Path) -> Source:
    return npz(root, y_train=np.array(in_words(GIVEN)), verified=np.array(in_words(VERIFIED)))


def table(root: Path, column: str = "verified", verified: list[Any] | None = None, **options: Any) -> Source:
    for number in range(8):
        image(root / f"{number}.png", number)
    cells = in_words(VERIFIED) if verified is None else verified
    rows = [(f"{i}.png", label, cell) for i, (label, cell) in enumerate(zip(in_words(GIVEN), cells, strict=True))]
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", column), *rows])
    return Table(root / "table.csv", size=8, **options)


def parquet_of_numbers(root: Path) -> Source:
    table(root)
    numbers = [float(label) if label >= 0 else None for label in VERIFIED]  # pandas' floats, because some are missing
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(8)], "label": GIVEN, "verified": numbers})
    frame.to_parquet(root / "table.parquet")
    return Table(root / "table.parquet", size=8)


def folder(root: Path, *rows: str) -> Source:
    for number, label in enumerate(GIVEN):
        image(root / NAMES[label] / f"{number}.png", number)
    listed = [f"{NAMES[GIVEN[i]]}/{i}.png,{NAMES[VERIFIED[i]]}" for i in np.flatnonzero(VERIFIED >= 0)]
    (root / "checked.csv").write_text("\n".join(["path,verified", *(rows or listed), ""]))
    return ImageFolder(root, size=8, verified_table=root / "checked.csv")


def hugging_face(root: Path, **columns: Any) -> Source:
    labels = datasets.ClassLabel(names=list(NAMES))
    features = datasets.Features({"image": datasets.Image(), "label": labels, "verified": labels})
    images = [np.zeros((8, 8, 3), dtype=np.uint8)] * 8
    content = {"image": images, "label": GIVEN, "verified": [None if v < 0 else int(v) for v in VERIFIED]} | columns
    made = datasets.Dataset.from_dict(content, features if "verified" not in columns else None)
    made.save_to_disk(str(root / "saved"))
    return HuggingFace(root / "saved", size=8)


def torch_data(root: Path) -> Source:
    return TorchDatasets(Pairs(), size=8, classes=NAMES, verified_labels=in_words(VERIFIED))


def torch_data_of_numbers(root: Path) -> Source:
    return TorchDatasets(Pairs(), size=8, verified_labels=VERIFIED)  # type: ignore[arg-type]


def features(root: Path) -> Source:
    arrays, files = npz(root).load(), FeatureFiles(root / "features")
    (root / "features").mkdir()
    files.begin(
        arrays,
        Description(3, "float32", 8, 8, 0, open_set=False, verified=False, made_from={}, made_by={}),
        Fingerprint.of(arrays, arrays.x_train),  # type: ignore[arg-type]
    )
    files.write_shard("train", 0, np.zeros((8, 3), dtype=np.float32))
    return FeatureFolder(root / "features")


SOURCES: list[Callable[[Path], Source]] = [
    npz,
    npz_of_names,
    table,
    parquet_of_numbers,
    folder,
    hugging_face,
    torch_data,
    torch_data_of_numbers,
    features,
]


@pytest.mark.parametrize("make", SOURCES)
def test_source_reads_checked_classes_and_keeps_the_labels_as_given(
    make: Callable[[Path], Source], tmp_path: Path
) -> None:
    arrays = make(tmp_path).load()  # a warning of no trusted labels would be an error
    assert arrays.verified_labels is not None
    assert arrays.verified_labels.tolist() == VERIFIED.tolist()
    assert arrays.y_train.tolist() == GIVEN.tolist()
    assert arrays.trusted_indices is not None
    assert arrays.trusted_indices.tolist() == [1, 2, 5, 6]


def test_rows_of_other_parts_follow_and_are_unchecked(tmp_path: Path) -> None:
    table(tmp_path)
    rows = [
        "path,label,split,verified",
        "0.png,cat,train,dog",
        "1.png,dog,train,",
        "2.png,cat,clean,",
        "3.png,dog,test,",
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    arrays = Table(tmp_path / "table.csv", size=8).load()
    assert arrays.verified_labels is not None
    assert arrays.verified_labels.tolist() == [1, -1, -1]
    assert arrays.trusted_indices.tolist() == [2, 0]  # type: ignore[union-attr]


def test_another_column_of_a_table_can_be_named(tmp_path: Path) -> None:
    arrays = table(tmp_path, column="expert", verified_column="expert").load()
    assert arrays.verified_labels is not None
    assert arrays.verified_labels.tolist() == VERIFIED.tolist()


def _table_with_trusted_row(root: Path) -> Source:
    table(root)
    (root / "table.csv").write_text("path,label,split,verified\n0.png,cat,clean,dog\n1.png,dog,train,\n")
    return Table(root / "table.csv", size=8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: table(root, verified=["yes"] * 8), "row 1: verified is 'yes', which is not one of the classes"),
        (lambda root: table(root, verified=[""] * 8), "verified has no checked class"),
        (lambda root: table(root, verified_column="expert"), "lacks the columns expert"),
        (_table_with_trusted_row, "row 1: split is 'clean', so the label 'cat' is trusted, but verified is 'dog'"),
        (lambda root: npz(root, verified=VERIFIED[:-1]), "verified has 7 entries for 8 examples"),
        (lambda root: npz(root, verified=np.array(["bird"] + 7 * [""])), r"verified\[0\] is 'bird'"),
        (lambda root: npz(root, verified=VERIFIED.astype(float)), "verified has dtype float64"),
        (lambda root: npz(root, verified=np.where(VERIFIED == 1, 2, VERIFIED)), r"verified\[1\] is 2"),
        (lambda root: npz(root, clean_indices=np.array([1])), "Example 1 is in clean_indices"),
        (lambda root: npz(root, y_train_clean=GIVEN), "Both y_train_clean and verified"),
        (lambda root: npz(root, y_train=np.array(in_words(GIVEN))), "the labels are strings"),
        (lambda root: folder(root, "cat/0.png,bird"), "row 1: verified is 'bird'"),
        (lambda root: folder(root, "cat/9.png,dog"), "row 1: there is no noisy image 'cat/9.png'"),
        (lambda root: folder(root, "cat/0.png,dog", "cat/0.png,cat"), "row 2: 'cat/0.png' has another class above"),
        (lambda root: hugging_face(root, verified=[True] * 8), "Entry 0 of verified is 'True'"),
        (lambda _: TorchDatasets(Pairs(), verified_labels=[1]), "verified_labels has 1 entries for 8 training items"),
    ],
)
def test_unusable_checked_classes_of_a_source_are_refused(
    make: Callable[[Path], Source], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        make(tmp_path).load()


def test_missing_table_or_column_of_checked_classes_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (tmp_path / "checked.csv").write_text("path,label\n")
    with pytest.raises(UserError, match="has no column 'verified'"):
        source.load()
    (tmp_path / "checked.csv").unlink()
    with pytest.raises(UserError, match=r"does not exist; expected a \.csv or \.parquet file with the columns path"):
        source.load()


def test_sources_without_checked_classes_have_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.zeros((8, 3), dtype=np.float32), y_train=GIVEN, clean_indices=[1, 2])
    arrays: Arrays = NpzFile(tmp_path / "data.npz").load()
    assert arrays.verified_labels is None
    assert arrays.truth is arrays.y_train


@pytest.mark.parametrize(("column", "meant"), [("verifed", "verified"), ("splitt", "split")])
def test_misspelt_columns_of_tables_are_refused(tmp_path: Path, column: str, meant: str) -> None:
    message = rf"table\.csv has the column '{column}', which is not read; rename it to '{meant}' if it is meant"
    with pytest.raises(UserError, match=message):
        table(tmp_path, column=column).load()


def test_columns_that_the_options_name_are_not_misspelt(tmp_path: Path) -> None:
    arrays = table(tmp_path, column="verifed", verified_column="verifed").load()
    assert arrays.verified_labels is not None
    with pytest.warns(UserWarning, match="no verified labels"):
        assert table(tmp_path, column="verified_by").load().verified_labels is None

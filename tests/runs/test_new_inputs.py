"""New inputs are read from folders, arrays and tables, and errors name the file and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import ImageFiles, Inputs
from vri_pyro.runs.new_inputs import bits_of_run, read_new_inputs
from vri_pyro.utils.errors import UserError

IMAGE, VECTOR = (3, 6, 4), (2,)


def read(path: Path, shape: tuple[int, ...] = VECTOR, dtype: str = "float32", root: Path | None = None) -> Inputs:
    return read_new_inputs(path, shape, dtype, root)[0]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def picture(path: Path, colour: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(path)
    return path


def test_folders_are_searched_recursively_and_hidden_and_other_files_left_out(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpg", "a/b/c.png", ".hidden/d.png", ".e.png"):
        picture(tmp_path / name)
    write(tmp_path / "notes.txt", "")
    write(tmp_path / "a" / "x.heic", "")
    with pytest.warns(UserWarning, match=r"not those of images \(1 with \.heic, the first is a/x\.heic\); convert"):
        images, described = read_new_inputs(tmp_path, IMAGE, "uint8")
    assert isinstance(images, ImageFiles)
    assert [images.listed(index) for index in range(len(images))] == ["a/b/c.png", "a/z.jpg", "b.PNG"]
    assert images.shape == (3, 6, 4, 3)
    assert described == f"3 images in {tmp_path}"


def test_a_single_image_is_read(tmp_path: Path) -> None:
    images = read(picture(tmp_path / "a.png"), IMAGE, "uint8")
    assert images[:].shape == (1, 6, 4, 3)
    assert (images[:] == [9, 0, 0]).all()


@pytest.mark.parametrize(
    ("names", "chosen"), [(["x", "x_test", "y"], "x"), (["only"], "only"), (["x_train", "x_test"], "x_test")]
)
def test_array_of_an_npz_file_is_chosen_by_name(tmp_path: Path, names: list[str], chosen: str) -> None:
    arrays = {name: np.full((1, 2), number, np.float32) for number, name in enumerate(names)}
    np.savez(tmp_path / "new.npz", **arrays)  # type: ignore[arg-type]
    found, described = read_new_inputs(tmp_path / "new.npz", VECTOR, "float32")
    np.testing.assert_array_equal(found, arrays[chosen])
    assert described == f"array {chosen} in {tmp_path / 'new.npz'}"


def test_npy_file_is_read_lazily(tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", np.ones((4, 2), np.float32))
    found = read(tmp_path / "new.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, np.ones((4, 2)))


def test_numeric_columns_are_the_features_in_order(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "name,b,a\nx,1,2.5\ny,3,-1e3\n")
    found, described = read_new_inputs(table, VECTOR, "float32")
    np.testing.assert_array_equal(found, [[1, 2.5], [3, -1000]])
    assert described == f"features in {table}, from the numeric columns in their order: b, a"


def test_tables_in_parquet_files_are_read_as_those_in_csv_files(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"n": ["x", "y"], "b": [1, 3], "a": [2.5, -1.0]}), tmp_path / "t.parquet")
    np.testing.assert_array_equal(read(tmp_path / "t.parquet"), [[1, 2.5], [3, -1]])
    parquet.write_table(pyarrow.table({"b": [1, None], "a": [2.5, -1.0]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="row 2: b is empty"):
        read(tmp_path / "t.parquet")
    write(tmp_path / "t.parquet", "text")
    with pytest.raises(UserError, match=r"t\.parquet is damaged or not a \.parquet file"):
        read(tmp_path / "t.parquet")


def test_tables_name_images_relative_to_their_own_or_another_folder(tmp_path: Path) -> None:
    picture(tmp_path / "here" / "a.png", 1)
    picture(tmp_path / "there" / "a.png", 2)
    table = write(tmp_path / "here" / "t.csv", "label,path\n3,a.png\n")
    assert read(table, IMAGE, "uint8")[:][0, 0, 0, 0] == 1
    assert read(table, IMAGE, "uint8", root=tmp_path / "there")[:][0, 0, 0, 0] == 2


def test_paths_in_tables_stay_in_their_folder_unless_allowed(tmp_path: Path) -> None:
    secret = picture(tmp_path / "secret.png", 7)
    table = write(picture(tmp_path / "here" / "a.png").parent / "t.csv", f"path\na.png\n{secret}\n")
    complaint = f"{table}, row 2: {str(secret)!r} is outside of {table.parent}; set --root to a folder that holds all"
    with pytest.raises(UserError, match=re.escape(complaint)):
        read(table, IMAGE, "uint8")
    assert len(read(table, IMAGE, "uint8", root=tmp_path / "here" / "..")) == 2
    allowed, _ = read_new_inputs(table, IMAGE, "uint8", outside_root=True)
    assert allowed[:][1, 0, 0, 0] == 7


def test_deep_images_are_read_with_the_bits_of_the_run(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4080, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="no value above 4080, so it may be a dark image"):
        read(tmp_path / "a.png", IMAGE, "uint8")[:]
    found, _ = read_new_inputs(tmp_path / "a.png", IMAGE, "uint8", bits=12)
    assert (found[:] == 255).all()
    assert bits_of_run({"data": {"class_path": "ImageFolder", "init_args": {"path": "x", "bits": 12}}}) == 12
    assert [bits_of_run(options) for options in ({}, {"data": None}, {"data": {"init_args": None}})] == [None] * 3


def test_integer_features_of_a_run_on_bytes_stay_bytes(tmp_path: Path) -> None:
    found = read(write(tmp_path / "t.csv", "a,b\n0,255\n"), dtype="uint8")
    assert found.dtype == np.uint8
    with pytest.raises(UserError, match="has values that are not integers from 0 to 255"):
        read(write(tmp_path / "t.csv", "a,b\n0,256\n"), dtype="uint8")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2\n3,4\n", "has no header; add a first line with the names of the columns"),
        ("", "has no header"),
        ("a,b\n", "has no rows; expected at least one below the header"),
        ("a,b\n1,2\n1\n", "row 2: found 1 value for 2 columns; correct the row"),
        ("a;b\n1;2\n", "has one column, 'a;b'; its columns are separated by semicolons, so save it with commas"),
        ("a\tb\n1\t2\n", "its columns are separated by tabs, so save it with commas"),
        ("a,b\n1,2\n3,oops\n5,6\n", "row 2: b is 'oops', which is not a number; correct the cell"),
        ("a,a\n1,2\n", "has more than one column 'a'; rename one of them"),
        ("a,b\n1,2\n,3\n", "row 2: a is empty or not finite; fill it in or remove the row"),
        ("a,b\n1,2\nnan,3\n", "row 2: a is empty or not finite"),
        ("a,b,c\n1,2,3\n", "has 3 numeric columns (a, b, c) but the run was trained on 2 features; keep one numeric"),
        ("a,b\nx,y\n", "has 0 numeric columns (none) but the run was trained on 2 features"),
    ],
)
def test_unusable_tables_of_features_raise(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=re.escape(complaint)):
        read(write(tmp_path / "t.csv", text))


def test_unusable_inputs_raise(tmp_path: Path) -> None:
    def complaint(path: Path, shape: tuple[int, ...] = IMAGE, dtype: str = "uint8") -> str:
        with pytest.raises(UserError) as raised:
            read(path, shape, dtype)
        return str(raised.value).replace(f"{tmp_path}/", "")

    (tmp_path / "empty").mkdir()
    picture(tmp_path / "photos" / "a.png")
    np.savez(tmp_path / "two.npz", a=[1], b=[2])
    write(tmp_path / "t.csv", "file,label\na.png,3\n")
    write(tmp_path / "gap.csv", "path,label\na.png,3\n,4\n")
    write(tmp_path / "text.npy", "text")
    write(tmp_path / "text.npz", "text")
    write(tmp_path / "text.zip", "text")
    assert "no_such does not exist; expected a folder of images, an image" in complaint(tmp_path / "no_such")
    assert "text.zip has an unsupported type; expected a folder" in complaint(tmp_path / "text.zip")
    assert "empty has no images; expected files with a suffix such as .jpg" in complaint(tmp_path / "empty")
    assert "photos has images but the run was trained on vectors of 2" in complaint(tmp_path / "photos", VECTOR)
    assert "uint8 images but the run was trained on float32" in complaint(tmp_path / "photos", IMAGE, "float32")
    assert "number of channels is 2; expected 1 (grey)" in complaint(tmp_path / "photos", (2, 4, 4))
    assert "two.npz has the arrays a, b; expected one array, or one named x" in complaint(tmp_path / "two.npz")
    assert "text.npz is not an .npz file; expected an .npz file, written by" in complaint(tmp_path / "text.npz")
    assert "text.npy is damaged or not an .npy file of numbers" in complaint(tmp_path / "text.npy")
    assert "t.csv lacks the column path (it has file, label)" in complaint(tmp_path / "t.csv")
    assert "gap.csv, row 2: path is empty; fill it in" in complaint(tmp_path / "gap.csv")

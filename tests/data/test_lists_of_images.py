"""Folders and tables of images: class names, files that are not read, repeated rows, and paths that lead out."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import Arrays, ImageFolder, Table
from vri_pyro.data.folders import contents_of, files_below, is_image
from vri_pyro.data.inside_root import check_inside
from vri_pyro.utils.errors import UserError

unverified = pytest.mark.filterwarnings("ignore:.*has no verified labels")
NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def picture(path: Path, shade: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path, "PNG")
    return path


@unverified
def test_folders_whose_names_differ_in_unicode_form_are_one_class(tmp_path: Path) -> None:
    for number, name in enumerate((NFC, NFD, "tea")):
        picture(tmp_path / name / f"{number}.png", number)
    arrays = ImageFolder(tmp_path, size=8).load()
    assert arrays.classes == (NFC, "tea")
    shades = np.asarray(arrays.x_train[:])[:, 0, 0, 0]
    assert dict(zip(shades.tolist(), arrays.y_train.tolist(), strict=True)) == {0: 0, 1: 0, 2: 1}


@unverified
@pytest.mark.parametrize("other", ["Tea", "tea ", "t ea"])
def test_folders_whose_names_nearly_agree_are_warned_of(tmp_path: Path, other: str) -> None:
    for name in ("tea", other, "cup"):
        picture(tmp_path / name / "a.png")
    with pytest.warns(UserWarning, match="differ only in case, spaces or Unicode form; correct the labels"):
        assert ImageFolder(tmp_path, size=8).load().num_classes == 3


@unverified
def test_files_of_operating_systems_are_no_images_and_no_classes(tmp_path: Path) -> None:
    for name in ("tea/a.png", "cup/a.png", "@eaDir/a.png", "__MACOSX/a.png", ".hidden/a.png", "tea/@eaDir/b.png"):
        picture(tmp_path / name)
    for name in ("tea/._a.png", "tea/.DS_Store", "tea/Thumbs.db", "cup/desktop.ini"):
        (tmp_path / name).write_text("")
    arrays = ImageFolder(tmp_path, size=8).load()
    assert arrays.classes == ("cup", "tea")
    assert len(arrays.y_train) == 2


@unverified
def test_files_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    for name in ("tea/a.PNG", "tea/b.jfif", "cup/a.JPG", "cup/b.heic", "cup/c.HEIC", "cup/no_suffix", "tea/notes.txt"):
        picture(tmp_path / name)
    message = r"\(2 with \.heic, 1 with no suffix, the first is cup/b\.heic\); convert images to \.png"
    with pytest.warns(UserWarning, match=message):
        arrays = ImageFolder(tmp_path, size=8).load()
    assert len(arrays.y_train) == 3


@unverified
def test_images_in_folders_of_a_class_folder_are_counted_and_named(tmp_path: Path) -> None:
    for name in ("tea/a.png", "tea/more/b.png", "tea/more/still/c.png", "cup/a.png"):
        picture(tmp_path / name)
    with pytest.warns(
        UserWarning, match=r"\(there are 2, the first is tea/more/b\.png\); move them into the folder of"
    ):
        arrays = ImageFolder(tmp_path, size=8).load()
    assert len(arrays.y_train) == 2


def test_suffixes_are_read_in_upper_and_lower_case() -> None:
    assert all(is_image(name) for name in ("a.jpg", "a.JPEG", "a.jfif", "a.Tif", "dir/a.webp", "a.b.png"))
    assert not any(is_image(name) for name in ("a", "jpg", "a.txt", "a.jpg.txt", "a.heic"))


def test_folders_that_contain_themselves_are_listed_once(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "b.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert files_below(tmp_path) == (["a/b.png", "link/b.png"], [])
    assert contents_of(tmp_path).folders == ["a", "link"]


def table(folder: Path, rows: list[tuple[str, ...]], header: str = "path,label,split") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return folder / "t.csv"


def load(path: Path, **options: Any) -> Arrays:
    return Table(path, size=8, **options).load()


ROWS = [("a.png", "tea", "train"), ("b.png", "cup", "train"), ("c.png", "tea", "clean")]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            ("./a.png", "cup", "train"),
            r"rows 1 and 4 list the same image \./a\.png with label 'tea' and 'cup'; keep one",
        ),
        (("x/../a.png", "tea", "test"), r"rows 1 and 4 list the same image .* with split 'train' and 'test'; keep one"),
        (("a.png", "tea", "clean"), r"rows 1 and 4 list the same image a\.png with split 'train' and 'clean'"),
        (("c.png", "cup", "clean"), r"rows 3 and 4 list the same image c\.png with label 'tea' and 'cup'"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, row: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load(table(tmp_path, [*ROWS, row]))


def test_a_path_in_two_unicode_forms_is_one_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rows 1 and 4 list the same image"):
        load(table(tmp_path, [(f"{NFC}.png", "tea", "train"), *ROWS[1:], (f"{NFD}.png", "cup", "train")]))


def test_rows_that_repeat_others_are_read_once_with_a_warning(tmp_path: Path) -> None:
    path = table(tmp_path, [*ROWS, ("./a.png", "tea", "noisy"), ("b.png", "cup", "train")])
    with pytest.warns(UserWarning, match=r"t\.csv lists 2 images again \(the first in row 4\); each is read once"):
        arrays = load(path)
    assert arrays.y_train.tolist() == [1, 0, 1]


def test_contradicting_true_labels_of_a_path_are_refused(tmp_path: Path) -> None:
    path = table(
        tmp_path, [("a.png", "tea", "tea"), ("b.png", "cup", "cup"), ("a.png", "tea", "cup")], "path,label,true"
    )
    with pytest.raises(UserError, match=r"rows 1 and 3 list the same image a\.png with true 'tea' and 'cup'"):
        load(path, true_label_column="true")


def test_labels_in_both_unicode_forms_are_one_class(tmp_path: Path) -> None:
    rows = [("a.png", NFC, "train"), ("b.png", NFD, "train"), ("c.png", "tea", "clean")]
    arrays = load(table(tmp_path, rows))
    assert arrays.classes == (NFC, "tea")
    assert arrays.y_train.tolist() == [0, 0, 1]


@pytest.mark.parametrize("text", ["path,label,split\na.png,b.png,tea,train\n", "path,label,split\na,b,c,d,e\n"])
def test_rows_with_more_values_than_columns_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match="row 1: there are more values than columns; correct the row"):
        load(tmp_path / "t.csv")


def test_tables_that_are_no_text_or_name_a_column_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(UserError, match=r"t\.csv cannot be read as a \.csv file in UTF-8"):
        load(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,label,label\na.png,tea,cup\n")
    with pytest.raises(UserError, match="has more than one column 'label'; rename one of them"):
        load(tmp_path / "t.csv")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A table in ``in`` whose folder holds links to pictures inside and outside of it."""
    picture(tmp_path / "out" / "secret.png")
    for name in ("a.png", "b.png", "c.png", "more/d.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "out" / "secret.png")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "inner.png").symlink_to(tmp_path / "in" / "a.png")
    return table(tmp_path / "in", ROWS)


@pytest.mark.parametrize("path", ["../out/secret.png", "{root}/out/secret.png", "link.png", "folder/secret.png", ".."])
def test_paths_that_lead_out_of_the_folder_are_refused(outside: Path, path: str, tmp_path: Path) -> None:
    path = path.format(root=tmp_path)
    file = table(outside.parent, [*ROWS, (path, "tea", "train")])
    with pytest.raises(UserError) as raised:
        load(file)
    assert str(raised.value) == (
        f"{file}, row 4: {path!r} is outside of {outside.parent}; set image_root to a folder that holds all images, or "
        "allow it with outside_root: true (--data.outside_root true)."
    )
    assert len(load(file, outside_root=True).y_train) == 4
    with pytest.raises(UserError, match="correct the path, or allow it with outside_root: true"):
        load(file, image_root=outside.parent)
    if ".." not in path:
        assert len(load(file, image_root=tmp_path).y_train) == 4 if path.startswith("/") else True


@pytest.mark.parametrize("path", ["{root}/in/more/d.png", "more/../more/d.png", "./more/d.png", "inner.png", "no.png"])
def test_paths_that_stay_in_the_folder_are_read_in_every_spelling(outside: Path, path: str, tmp_path: Path) -> None:
    arrays = load(table(outside.parent, [*ROWS, (path.format(root=tmp_path), "tea", "train")]))
    assert len(arrays.y_train) == 4
    if path != "no.png":  # which is reported when it is read
        assert (np.asarray(arrays.x_train[:]) == 9).all()


def test_a_path_through_a_link_and_back_is_followed_as_the_system_does(outside: Path) -> None:
    # Lexically, folder/../a.png is a.png; for the system, it is a file beside the folder to which the link points.
    with pytest.raises(UserError, match="is outside of"):
        check_inside(outside, outside.parent, [(1, "folder/../a.png")], "row", "correct it")


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    picture(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_inside(
        tmp_path / "t.csv", tmp_path / "link", [(1, "a.png"), (2, f"{tmp_path}/real/a.png")], "row", "correct it"
    )
    check_inside(tmp_path / "t.csv", Path("/"), [(1, "etc/hostname")], "row", "correct it")
    with pytest.raises(UserError, match="row 3"):  # real2 begins with the name of the root but is another folder
        check_inside(tmp_path / "t.csv", tmp_path / "real", [(3, "../real2/a.png")], "row", "correct it")

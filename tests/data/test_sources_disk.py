"""Sources on disk, in small copies of their published layouts, intact and damaged."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from published_layouts import animal10n, clothing1m, food101n, image, lines

from vri_pyro.data import (
    Arrays,
    Food101N,
    HuggingFace,
    ImageFolder,
    MiniWebVision,
    NoNoise,
    Source,
    Streamed,
    Table,
    TorchDatasets,
    make_split,
)
from vri_pyro.utils.errors import UserError


def mini_webvision(root: Path) -> Source:
    """Three classes, of which the source uses two."""
    lines(root / "info" / "synsets.txt", "n01 tench, Tinca tinca", "n02 goldfish", "n03 shark")
    names = [f"google/q000{label}/{number}.jpg" for label in range(3) for number in range(4)]
    lines(root / "info" / "train_filelist_google.txt", *(f"{name} {i // 4}" for i, name in enumerate(names)))
    lines(root / "info" / "val_filelist.txt", *(f"val{number}.jpg {number % 3}" for number in range(6)))
    for number, name in enumerate(names):
        image(root / name, number)
    for number in range(6):
        image(root / "val_images_256" / f"val{number}.jpg")
    lines(root / "trusted.txt", names[0], names[4])
    return MiniWebVision(root, size=8, num_classes=2, clean_list=root / "trusted.txt")


def image_folder(root: Path) -> Source:
    """Cats and dogs, with no dog in the validation part, and with some files to ignore."""
    for part, count in (("noisy", 4), ("clean", 2), ("validation", 1), ("test", 2)):
        for label in ("cat", "dog"):
            for number in range(count if (part, label) != ("validation", "dog") else 0):
                image(root / part / label / f"{number}.PNG", number)
    (root / "noisy" / "cat" / ".DS_Store").write_text("")
    (root / "noisy" / ".hidden").mkdir()
    return ImageFolder(root, size=8)


ROWS = [
    *({"path": f"{number}.png", "label": ("cat", "dog")[number % 2], "split": "train"} for number in range(6)),
    *({"path": f"{number}.png", "label": ("cat", "dog")[number % 2], "split": "clean"} for number in range(6, 10)),
    *({"path": f"{number}.png", "label": ("cat", "dog")[number % 2], "split": "test"} for number in range(10, 14)),
]


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def csv_table(root: Path) -> Source:
    """Images listed in a .csv file."""
    _write_csv(root / "table.csv", ROWS)
    for number in range(14):
        image(root / f"{number}.png", number)
    return Table(root / "table.csv", size=8)


def parquet_table(root: Path) -> Source:
    """The same images listed in a .parquet file in another folder."""
    csv_table(root / "images")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), root / "table.parquet")
    return Table(root / "table.parquet", image_root=root / "images", size=8)


def hugging_face(root: Path) -> Source:
    """A DatasetDict on disk."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def part(count: int) -> datasets.Dataset:
        images = [Image.new("RGB", (12, 9), (number, 0, 0)) for number in range(count)]
        return datasets.Dataset.from_dict({"image": images, "label": [i % 2 for i in range(count)]}, features)

    whole = datasets.DatasetDict({"train": part(6), "clean": part(4), "test": part(4)})
    whole.save_to_disk(str(root / "saved"))
    return HuggingFace(root / "saved", size=8)


class Pairs(torch.utils.data.Dataset):
    """Pairs of images and labels, optionally with ``targets``."""

    def __init__(self, count: int, targets: bool = False) -> None:
        self.count, self.read = count, 0
        if targets:
            self.targets = [number % 2 for number in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self.read += 1
        return Image.new("RGB", (12, 9), (index, 0, 0)), index % 2


class Endless(torch.utils.data.IterableDataset):
    """An iterable data set, which is not map-style."""

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        yield from ()


def torch_datasets(root: Path) -> Source:
    """Data sets in memory."""
    return TorchDatasets(Pairs(6, targets=True), Pairs(4, targets=True), Pairs(4, targets=True), size=8)


BUILDERS: list[Callable[[Path], Source]] = [
    *(food101n, clothing1m, animal10n, mini_webvision, image_folder),
    *(csv_table, parquet_table, hugging_face, torch_datasets),
]
every = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
pytestmark = pytest.mark.filterwarnings("ignore:1 images of the noisy list are also in a verified set:UserWarning")


def _load(build: Callable[[Path], Source], root: Path) -> Arrays:
    return build(root).load()


@every
def test_labels_and_images_stay_together(build: Callable[[Path], Source], tmp_path: Path) -> None:
    arrays = _load(build, tmp_path)
    assert isinstance(arrays.x_train, Streamed)
    assert arrays.input_shape == (3, 8, 8)
    assert len(arrays.x_train) == len(arrays.y_train)
    assert arrays.clean_indices is not None
    assert len(arrays.clean_indices) > 0
    for inputs in (arrays.x_train, arrays.x_test):
        assert np.asarray(inputs[: len(inputs)]).shape == (len(inputs), 8, 8, 3)


@every
def test_a_split_of_it_leaks_nothing(build: Callable[[Path], Source], tmp_path: Path) -> None:
    arrays = _load(build, tmp_path)
    split = make_split(arrays, NoNoise(), None, 0, None, seed=0)
    assert arrays.clean_indices is not None
    assert set(split.clean_indices) == set(arrays.clean_indices)
    assert isinstance(arrays.x_train, Streamed)
    names = {part: {arrays.x_train.name(i) for i in getattr(split, f"{part}_indices")} for part in ("noisy", "clean")}
    if build is not torch_datasets and build is not hugging_face:  # the names in their parts are the same numbers
        assert not names["noisy"] & names["clean"]
        tests = {arrays.x_test.name(i) for i in range(len(arrays.x_test))}  # type: ignore[union-attr]
        assert not tests & (names["noisy"] | names["clean"])


def test_food101n_trusts_labels_verified_as_correct(tmp_path: Path) -> None:
    arrays = _load(food101n, tmp_path)
    assert arrays.classes == ("apple_pie", "waffles")
    assert arrays.clean_indices is not None
    assert arrays.validation_indices is not None
    assert isinstance(arrays.x_train, Streamed)
    assert [arrays.x_train.name(i)[-15:] for i in arrays.clean_indices] == ["apple_pie/1.jpg", "s/waffles/1.jpg"]
    assert [arrays.x_train.name(i)[-15:] for i in arrays.validation_indices] == ["apple_pie/0.jpg", "s/waffles/0.jpg"]
    assert np.bincount(arrays.y_train).tolist() == [6, 6]
    both = Food101N(tmp_path, size=8, clean="both").load()
    assert both.validation_indices is None
    assert len(both.clean_indices) == 4  # type: ignore[arg-type]


@pytest.mark.filterwarnings("default")
def test_clothing1m_leaves_verified_images_out_of_the_noisy_part(tmp_path: Path) -> None:
    source = clothing1m(tmp_path)
    with pytest.warns(UserWarning, match="1 images of the noisy list are also in a verified set; they are excluded"):
        arrays = source.load()
    assert arrays.num_classes == 14
    assert len(arrays.y_train) == 19 + 14 + 14
    assert arrays.y_train[arrays.clean_indices].tolist() == list(range(14))
    assert "images/val/" in arrays.x_train.name(int(arrays.clean_indices[0]))  # type: ignore[union-attr,index]


def test_clothing1m_finds_its_lists_in_annotations_too(tmp_path: Path) -> None:
    source = clothing1m(tmp_path)
    (tmp_path / "annotations").mkdir()
    for path in tmp_path.glob("*.txt"):
        path.rename(tmp_path / "annotations" / path.name)
    assert len(source.load().y_test) == 14


def test_animal10n_reads_labels_from_names(tmp_path: Path) -> None:
    arrays = _load(animal10n, tmp_path)
    assert arrays.classes[9] == "guinea pig"
    assert np.bincount(arrays.y_train).tolist() == [3] * 10
    assert arrays.y_train[arrays.clean_indices].tolist() == list(range(10))


@pytest.mark.parametrize("build", [animal10n, mini_webvision], ids=lambda build: build.__name__)
def test_sets_without_verified_labels_warn(build: Callable[[Path], Source], tmp_path: Path) -> None:
    source = type(build(tmp_path))(tmp_path, size=8, **({"num_classes": 2} if build is mini_webvision else {}))
    with pytest.warns(
        UserWarning, match="has no verified labels, so a clean set drawn from it may contain wrong labels"
    ):
        arrays = source.load()
    assert arrays.clean_indices is None
    split = make_split(arrays, NoNoise(), 1, 0, None, seed=0)
    assert split.true_labels is None  # observed labels are not treated as true labels
    assert not split.verified


@pytest.mark.parametrize("build", [image_folder, csv_table, hugging_face, torch_datasets], ids=lambda b: b.__name__)
def test_labels_can_be_declared_verified(build: Callable[[Path], Source], tmp_path: Path) -> None:
    assert not _load(build, tmp_path).verified
    assert dataclasses.replace(build(tmp_path / "again"), verified=True).load().verified  # type: ignore[type-var]


def test_mini_webvision_takes_the_first_classes_and_either_test_set(tmp_path: Path) -> None:
    arrays = _load(mini_webvision, tmp_path)
    assert arrays.classes == ("tench (n01)", "goldfish (n02)")
    assert len(arrays.y_train) == 8
    assert arrays.y_test.tolist() == [0, 1, 0, 1]
    for synset in ("n01", "n02"):
        image(tmp_path / "imagenet" / "val" / synset / "ILSVRC2012_val_1.JPEG", 50)
    other = MiniWebVision(
        tmp_path, 8, num_classes=2, ilsvrc12=tmp_path / "imagenet" / "val", clean_list=tmp_path / "trusted.txt"
    ).load()
    assert other.y_test.tolist() == [0, 1]
    assert (other.x_test[0:1] == 50).all()


def test_image_folder_reads_the_existing_parts(tmp_path: Path) -> None:
    arrays = _load(image_folder, tmp_path)
    assert arrays.classes == ("cat", "dog")
    assert np.bincount(arrays.y_train).tolist() == [7, 6]
    assert arrays.y_train[arrays.validation_indices].tolist() == [0]


def test_folders_of_classes_alone_are_noisy_images(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    with pytest.warns(UserWarning, match="has no verified labels"):
        arrays = dataclasses.replace(source, path=tmp_path / "noisy").load()
    assert arrays.x_test is None
    assert arrays.clean_indices is None
    assert arrays.classes == ("cat", "dog")


def test_a_misspelt_part_is_warned_of(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "tests")
    with pytest.warns(UserWarning, match="contains the folders tests, which are ignored; known folders are noisy, cl"):
        assert source.load().x_test is None


@pytest.mark.filterwarnings("ignore:.*has no verified labels")
def test_a_table_without_a_split_column_is_noisy_unless_the_column_was_named(tmp_path: Path) -> None:
    rows = [{"path": f"{number}.png", "label": "ab"[number % 2]} for number in range(6)]
    _write_csv(tmp_path / "own.csv", rows)
    assert len(Table(tmp_path / "own.csv").load().y_train) == 6
    with pytest.raises(UserError, match="lacks the columns part"):
        Table(tmp_path / "own.csv", split_column="part").load()


@pytest.mark.filterwarnings("ignore:.*has no verified labels")
def test_data_sets_of_items_need_no_test_set(tmp_path: Path) -> None:
    assert dataclasses.replace(torch_datasets(tmp_path), test=None).load().x_test is None
    _saved({"train": ["cat", "dog"] * 3}, None).save_to_disk(str(tmp_path / "train only"))
    assert HuggingFace(tmp_path / "train only", size=8).load().x_test is None
    _saved({"train": ["cat", "dog"] * 3}, None)["train"].save_to_disk(str(tmp_path / "single"))
    assert len(HuggingFace(tmp_path / "single", size=8).load().y_train) == 6
    with pytest.raises(UserError, match="has no split 'held out'; expected one of train"):
        HuggingFace(tmp_path / "train only", test="held out").load()


def _saved(labels: dict[str, list[str]], names: dict[str, list[str]] | None) -> datasets.DatasetDict:
    """Splits with the given labels: strings, or class numbers with the given names of each split."""
    parts = {}
    for part, own in labels.items():
        kind = datasets.Value("string") if names is None else datasets.ClassLabel(names=names[part])
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        images = [Image.new("RGB", (12, 9), (number, 0, 0)) for number in range(len(own))]
        parts[part] = datasets.Dataset.from_dict({"image": images, "label": own}, features)
    return datasets.DatasetDict(parts)


@pytest.mark.parametrize("names", [None, {"train": ["cat", "dog"], "clean": ["dog", "cat"], "test": ["dog", "cat"]}])
def test_labels_of_hugging_face_splits_are_matched_by_name(tmp_path: Path, names: dict[str, list[str]] | None) -> None:
    labels = {"train": ["cat", "dog", "cat"], "clean": ["dog", "cat"], "test": ["dog", "dog"]}
    _saved(labels, names).save_to_disk(str(tmp_path / "saved"))
    arrays = HuggingFace(tmp_path / "saved", size=8).load()
    assert arrays.classes == ("cat", "dog")
    assert arrays.y_train.tolist() == [0, 1, 0, 1, 0]
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [1, 1]


@pytest.mark.filterwarnings("default")
def test_image_folder_without_a_clean_part_warns(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    shutil.rmtree(tmp_path / "clean")
    with (
        pytest.warns(UserWarning, match="put trusted images into clean/"),
        pytest.warns(UserWarning, match="The validation part is ignored because there is no clean part"),
    ):
        arrays = source.load()
    assert len(arrays.y_train) == 8


def test_table_sorts_numbers_as_numbers_and_keeps_the_truth(tmp_path: Path) -> None:
    rows = [{"file": f"{i}.png", "y": str(i % 3 + 9), "t": str(i % 2 + 9), "part": "train"} for i in range(9)]
    rows += [{"file": "t.png", "y": "10", "t": "10", "part": "test"}]
    _write_csv(tmp_path / "t.csv", rows)
    arrays = Table(
        tmp_path / "t.csv", size=8, path_column="file", label_column="y", split_column="part", true_label_column="t"
    ).load()
    assert arrays.classes == ("9", "10", "11")
    assert arrays.y_train.tolist() == [0, 1, 2] * 3
    assert arrays.y_train_clean is not None
    assert arrays.y_train_clean.tolist() == [0, 1] * 4 + [0]


def _shorter(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:-3]))


def _spoil(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


META = "Food-101N_release/meta"
DAMAGE: list[tuple[Callable[[Path], Source], Callable[[Path], Any], str]] = [
    (
        food101n,
        lambda r: (r / META / "imagelist.tsv").unlink(),
        "imagelist.tsv does not exist; expected the list of images",
    ),
    (
        food101n,
        lambda r: (r / "food-101/meta/test.txt").unlink(),
        "test.txt does not exist; expected the test list",
    ),
    (food101n, lambda r: _spoil(r / META / "imagelist.tsv", "pizza/1.jpg"), "line 14: 'pizza' is not a class"),
    (
        food101n,
        lambda r: _spoil(r / META / "verified_val.tsv", "waffles/1.jpg"),
        "expected 2 fields but got 'waffles/1.jpg'",
    ),
    (
        food101n,
        lambda r: _spoil(r / META / "verified_val.tsv", "waffles/1.jpg\t7"),
        "verification label is '7'; expected 0 or 1",
    ),
    (
        food101n,
        lambda r: _spoil(r / META / "verified_val.tsv", "waffles/9.jpg\t1"),
        "1 verified images",
    ),
    (clothing1m, lambda r: (r / "clean_label_kv.txt").unlink(), "clean_label_kv.txt does not exist; expected"),
    (clothing1m, lambda r: _shorter(r / "noisy_label_kv.txt"), "has no label for images/"),
    (
        clothing1m,
        lambda r: _spoil(r / "noisy_label_kv.txt", "a.jpg 14"),
        "line 21: '14' is not a class; classes",
    ),
    (clothing1m, lambda r: _shorter(r / "category_names_eng.txt"), "has 11 lines; expected 14"),
    (animal10n, lambda r: (r / "training" / "cat.jpg").write_text(""), "does not begin with a label from 0 to 9"),
    (animal10n, lambda r: (r / "testing").rename(r / "tests"), "testing does not exist; expected a folder of"),
    (animal10n, lambda r: _spoil(r / "trusted.txt", "3_9.jpg"), "line 11: 3_9.jpg does not exist in training/"),
    (animal10n, lambda r: [path.unlink() for path in (r / "testing").glob("*")], "has no test images"),
    (
        mini_webvision,
        lambda r: _spoil(r / "info/train_filelist_google.txt", "a.jpg"),
        "expected 2 fields but got 'a.jpg'",
    ),
    (mini_webvision, lambda r: _spoil(r / "info/val_filelist.txt", "a.jpg x"), "'x' is not a class"),
    (mini_webvision, lambda r: lines(r / "info/synsets.txt", "n01 tench"), "has 1 class but num_classes is 2"),
    (mini_webvision, lambda r: _spoil(r / "trusted.txt", "google/no.jpg"), "contains google/no.jpg, which is not in"),
    (image_folder, lambda r: (r / "noisy").rename(r / "noise"), "noisy does not exist; expected a folder with one"),
    (csv_table, lambda r: _write_csv(r / "table.csv", [{"path": "a", "split": "b"}]), "lacks the columns label"),
    (
        csv_table,
        lambda r: (r / "table.csv").write_text((r / "table.csv").read_text().replace(",", ";")),
        "its columns are separated by semicolons, so save it with commas",
    ),
    (csv_table, lambda r: _spoil(r / "table.csv", "z.png,,train"), "row 15: label is empty"),
    (
        csv_table,
        lambda r: _spoil(r / "table.csv", "z.png,cat,dev"),
        "row 15: split is 'dev'; expected one of train, no",
    ),
    (parquet_table, lambda r: (r / "table.parquet").write_bytes(b"PAR1 no"), "damaged or not a .parquet file"),
    (hugging_face, lambda r: (r / "saved" / "dataset_dict.json").unlink(), "does not contain a data set"),
]


@pytest.mark.parametrize(("build", "spoil", "complaint"), DAMAGE)
def test_a_damaged_tree_is_named(
    build: Callable[[Path], Source], spoil: Callable[[Path], Any], complaint: str, tmp_path: Path
) -> None:
    source = build(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=complaint):
        source.load()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda r: Table(r / "table.xlsx"), "table.xlsx does not exist"),
        (lambda r: HuggingFace(r / "nowhere"), "nowhere does not exist; expected a folder written by save_to_disk"),
        (lambda r: HuggingFace(r / "saved", train="training"), "has no split 'training'"),
        (lambda r: HuggingFace(r / "saved", label_column="y"), "has no column 'y'"),
        (lambda r: TorchDatasets(Endless(), Pairs(2)), "without __len__ or __getitem__"),
        (lambda r: TorchDatasets(Pairs(0), Pairs(2)), "train part is empty"),
        (lambda r: MiniWebVision(r, num_classes=1), "num_classes is 1"),
    ],
)
def test_wrong_options_are_named(make: Callable[[Path], Source], complaint: str, tmp_path: Path) -> None:
    hugging_face(tmp_path)
    with pytest.raises(UserError, match=complaint):
        make(tmp_path).load()


def test_no_image_is_read_while_loading(tmp_path: Path) -> None:
    source = image_folder(tmp_path)
    for path in tmp_path.rglob("*.PNG"):
        path.write_bytes(b"no image")
    arrays = source.load()
    with pytest.raises(UserError, match="is damaged or not an image"):
        arrays.x_train[:1]


PUBLISHED: list[tuple[Callable[[Path], Source], str, str]] = [
    (clothing1m, "noisy_train_key_list.txt", "{path}"),
    (clothing1m, "clean_test_key_list.txt", "{path}"),
    (food101n, "Food-101N_release/meta/imagelist.tsv", "waffles/../../../../{path}"),
    (food101n, "food-101/meta/test.txt", "waffles/../../../../{path}"),
    (mini_webvision, "info/train_filelist_google.txt", "{path} 0"),
    (mini_webvision, "info/val_filelist.txt", "../{path} 0"),
]


@pytest.mark.parametrize(("build", "name", "line"), PUBLISHED)
def test_lists_of_published_data_sets_stay_in_their_folder(
    tmp_path: Path, build: Callable[[Path], Source], name: str, line: str
) -> None:
    source = build(tmp_path / "in")
    file = tmp_path / "in" / name
    file.write_text(file.read_text() + line.format(path="../out/secret.jpg") + "\n")
    with pytest.raises(
        UserError, match=rf"{file.name}, line \d+: .*secret\.jpg.* is outside of .*outside_root: true\."
    ):
        source.load()


@pytest.mark.parametrize("build", [clothing1m, food101n, mini_webvision], ids=lambda build: build.__name__)
def test_published_data_sets_whose_images_are_on_another_disk_need_the_option(
    tmp_path: Path, build: Callable[[Path], Source]
) -> None:
    source = build(tmp_path / "in")
    folder = {"clothing1m": "images", "food101n": "food-101/images", "mini_webvision": "google"}[build.__name__]
    (tmp_path / "in" / folder).rename(tmp_path / "disk")
    (tmp_path / "in" / folder).symlink_to(tmp_path / "disk")
    with pytest.raises(UserError, match=r"is outside of .* or allow it with outside_root: true"):
        source.load()
    assert len(dataclasses.replace(source, outside_root=True).load().y_train) > 0

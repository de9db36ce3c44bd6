"""The labels of a source are those of its items."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from vri_pyro.data import Arrays, HuggingFace, ImageFiles, TorchDatasets
from vri_pyro.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*has no verified labels")
NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


class Items(Dataset):
    """Black images with the given labels; counts how many were read."""

    def __init__(self, own: Sequence[Any], **attributes: Any) -> None:
        self.own, self.read = own, 0
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        self.read += 1
        return np.zeros((8, 8), np.uint8), self.own[index]


def load(train: Any, test: Any = None, **options: Any) -> Arrays:
    return TorchDatasets(train, test, size=8, **options).load()


def labels_of(dataset: Any) -> list[Any]:
    return [int(dataset[index][1]) for index in range(len(dataset))]


def cifar(count: int = 20, **options: Any) -> torchvision.datasets.CIFAR10:
    """CIFAR-10 as torchvision has it, with random images instead of the published ones."""
    dataset = object.__new__(torchvision.datasets.CIFAR10)
    dataset.data = np.zeros((count, 32, 32, 3), np.uint8)
    dataset.targets = [number % 10 for number in range(count)]
    dataset.classes = [f"kind {number}" for number in range(10)]
    dataset.transform, dataset.target_transform = None, options.get("target_transform")
    return dataset


class NoisyCIFAR(torchvision.datasets.CIFAR10):
    """A subclass that gives its items other labels than its targets."""

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, label = super().__getitem__(index)
        return image, (label + index % 2) % 10


class Forwarding(Dataset):
    """A wrapper that forwards all attributes but changes the labels."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, label = self.inner[index]
        return image, (label + 3) % 10

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


def noisy_cifar() -> NoisyCIFAR:
    dataset = cifar()
    dataset.__class__ = NoisyCIFAR
    return dataset


def increased(label: int) -> int:
    return (label + 1) % 10


SETS = {
    "plain": cifar,
    "target transform": lambda: cifar(target_transform=increased),
    "subclass": noisy_cifar,
    "wrapper": lambda: Forwarding(cifar()),
    "wrapped wrapper": lambda: Forwarding(Forwarding(cifar())),
    "wrong targets": lambda: Items(range(10), targets=[0] * 10),
    "wrong labels": lambda: Items(range(10), labels=[1] * 10),
    "too few targets": lambda: Items(range(10), targets=[1]),
    "labels as tensors": lambda: Items(list(torch.arange(10))),
    "labels as tensors of one element": lambda: Items([torch.tensor([label]) for label in range(10)]),
    "labels as NumPy numbers": lambda: Items(np.arange(10, dtype=np.uint8)),
    "subset": lambda: Subset(cifar(), [11, 3, 3, 10, 9]),
    "subset with a target transform": lambda: Subset(cifar(target_transform=increased), [9, 3, 0]),
    "subset of a wrapper": lambda: Subset(Forwarding(cifar()), [6, 3, 0]),
    "concatenation": lambda: ConcatDataset([cifar(10), cifar(5, target_transform=increased), Items(range(10))]),
    "subset of a concatenation": lambda: Subset(ConcatDataset([cifar(5), cifar(12)]), [16, 4, 9, 0]),
    "tensors": lambda: TensorDataset(torch.zeros(10, 3, 8, 8), torch.arange(10)),
    "random split": lambda: torch.utils.data.random_split(cifar(), [15, 5], torch.Generator().manual_seed(0))[0],
}


@pytest.mark.parametrize("name", SETS)
def test_labels_are_those_that_the_items_have(name: str) -> None:
    dataset = SETS[name]()
    assert load(dataset).y_train.tolist() == labels_of(dataset)


def test_labels_of_known_classes_are_read_without_their_items(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ConcatDataset([cifar(10), Subset(cifar(), [3])])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "__getitem__", lambda *_: pytest.fail("an item was read"))
    assert load(whole).y_train.tolist() == [*range(10), 3]


def test_only_the_items_of_a_subset_are_read() -> None:
    inner = Items(range(1000))
    load(Subset(inner, [1, 0]))
    assert inner.read == 2


def test_items_that_are_not_pairs_are_refused() -> None:
    class Dicts(Items):
        def __getitem__(self, index: int) -> Any:
            return {"image": 1, "label": 2}

    with pytest.raises(UserError, match=r"Item 0 of train is a dict; expected a pair \(image, label\)"):
        load(Dicts([0, 1]))

    class Broken(Items):
        def __getitem__(self, index: int) -> Any:
            raise OSError("truncated")

    with pytest.raises(UserError, match=r"Item 0 of train cannot be read \(truncated\); repair the data set"):
        load(Broken([0, 1]))


def test_classes_in_another_order_are_matched_by_name() -> None:
    arrays = load(Items([0, 1, 2], classes=["ant", "bee", "cat"]), Items([0, 1], classes=["cat", "ant"]))
    assert arrays.classes == ("ant", "bee", "cat")
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [2, 0]
    renamed = load(Items([0, 1], classes=["ant", "bee"]), Items([0, 1], classes=["bee", "ant"]), classes=("a", "b"))
    assert renamed.classes == ("a", "b")
    assert renamed.y_test is not None
    assert renamed.y_test.tolist() == [1, 0]


def test_classes_that_cannot_be_matched_are_refused() -> None:
    with pytest.raises(
        UserError, match="The test part has the class 'dog', which is not in 'ant', 'bee'; use the same"
    ):
        load(Items([0, 1], classes=["ant", "bee"]), Items([0, 1], classes=["bee", "dog"]))
    with pytest.raises(UserError, match="The test part has labels outside of its 2 classes"):
        load(Items([0, 1], classes=["ant", "bee"]), Items([0, 2], classes=["bee", "ant"]))
    with pytest.raises(UserError, match="parts of a ConcatDataset have different classes"):
        load(ConcatDataset([Items([0, 1], classes=["ant", "bee"]), Items([0, 1], classes=["bee", "ant"])]))


def test_names_of_classes_in_both_unicode_forms_are_one_class() -> None:
    arrays = load(Items([NFC, NFD, "tea"]), Items([NFD]), classes=(NFD, "tea"))
    assert arrays.y_train.tolist() == [0, 0, 1]
    assert arrays.classes == (NFC, "tea")


def photos(folder: Path, classes: Sequence[str], image: Image.Image) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        image.save(folder / name / "a.png")
    return folder


def test_folders_of_torchvision_are_read_from_their_files(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    folder = torchvision.datasets.ImageFolder(str(photos(tmp_path / "train", ("ant", "bee", "cat"), ramp)))
    other = torchvision.datasets.ImageFolder(str(photos(tmp_path / "test", ("bee", "cat"), ramp)))
    arrays = TorchDatasets(Subset(folder, [2, 0]), other, size=256).load()
    assert arrays.y_train.tolist() == [2, 0]
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [1, 2]  # by name, although the items have 0 and 1
    shades = np.asarray(arrays.x_train[:1])[0, ..., 0]
    np.testing.assert_array_equal(shades, np.arange(65536).reshape(256, 256) >> 8)
    whole = TorchDatasets(folder, size=8).load().x_train
    assert whole.name(1).endswith("train/bee/a.png")  # type: ignore[union-attr]
    folder.transform = lambda image: Image.new("L", (8, 8), 7)
    assert (np.asarray(TorchDatasets(folder, size=8).load().x_train[:1]) == 7).all()
    assert not isinstance(TorchDatasets(folder, size=8).load().x_train, ImageFiles)


def hugging_face(folder: Path, splits: dict[str, tuple[Any, list[Any]]], images: Sequence[Any] = ()) -> HuggingFace:
    """Write splits with a label feature and labels each."""
    parts = {}
    for name, (kind, labels) in splits.items():
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        pictures = images or [Image.new("RGB", (12, 9), (number, 0, 0)) for number in range(len(labels))]
        parts[name] = datasets.Dataset.from_dict({"image": list(pictures), "label": labels}, features)
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return HuggingFace(folder, size=8)


def named(*names: str) -> datasets.ClassLabel:
    return datasets.ClassLabel(names=list(names))


def test_splits_of_hugging_face_with_classes_in_other_orders_are_matched_by_name(tmp_path: Path) -> None:
    splits = {
        "train": (named("ant", "bee", "cat"), [0, 1, 2]),
        "clean": (named("cat", "bee", "ant"), [0, 1, 2]),
        "validation": (named("bee", "ant", "cat"), [0, 1, 2]),
        "test": (named("cat", "ant"), [0, 1, 1]),
    }
    arrays = hugging_face(tmp_path / "a", splits).load()
    assert arrays.classes == ("ant", "bee", "cat")
    assert arrays.y_train.tolist() == [0, 1, 2, 2, 1, 0, 1, 0, 2]
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [2, 0, 0]


def test_splits_of_hugging_face_with_names_as_strings_are_matched_too(tmp_path: Path) -> None:
    text = datasets.Value("string")
    splits = {"train": (named("tea", NFD), [0, 1]), "clean": (text, [NFC, "tea"]), "test": (text, [NFD])}
    arrays = hugging_face(tmp_path / "a", splits).load()
    assert arrays.classes == ("tea", NFC)
    assert arrays.y_train.tolist() == [0, 1, 1, 0]
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [1]


def test_splits_of_hugging_face_with_names_and_numbers_are_refused(tmp_path: Path) -> None:
    splits = {"train": (named("ant", "bee"), [0, 1]), "test": (datasets.Value("int64"), [0, 1])}
    with pytest.raises(UserError, match="The labels of train are names and those of test are numbers; use the same"):
        hugging_face(tmp_path / "a", splits).load()
    splits = {"train": (named("ant", "bee"), [0, 1]), "test": (named("ant", "dog"), [0, 1])}
    with pytest.raises(UserError, match=r"test labels contains 'dog', which is not in classes \('ant', 'bee'\)"):
        hugging_face(tmp_path / "b", splits).load()


@pytest.mark.parametrize("mode", [None, "RGB"])
def test_deep_images_of_a_hugging_face_column_with_a_mode_keep_their_high_8_bits(tmp_path: Path, mode: Any) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    features = datasets.Features({"image": datasets.Image(mode=mode), "label": named("ant", "bee")})
    columns = {"image": [Image.fromarray(ramp)] * 2, "label": [0, 1]}
    datasets.Dataset.from_dict(columns, features).save_to_disk(str(tmp_path / "a"))
    found = np.asarray(HuggingFace(tmp_path / "a", size=256).load().x_train[:1])[0, ..., 0]
    np.testing.assert_array_equal(found, ramp >> 8)


def test_deep_images_of_hugging_face_keep_their_high_8_bits(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    source = hugging_face(tmp_path / "a", {"train": (named("ant", "bee"), [0, 1])}, [Image.fromarray(ramp)] * 2)
    found = np.asarray(HuggingFace(source.path, size=256).load().x_train[:1])[0, ..., 0]
    np.testing.assert_array_equal(found, ramp >> 8)
    dark = hugging_face(tmp_path / "b", {"train": (named("ant", "bee"), [0, 1])}, [Image.fromarray(ramp >> 4)] * 2)
    with pytest.raises(UserError, match=r"Dataset\[0\] has more than 8 bits per pixel and no value above 4095"):
        dark.load().x_train[:1]
    found = np.asarray(HuggingFace(dark.path, size=256, bits=12).load().x_train[:1])[0, ..., 0]
    np.testing.assert_array_equal(found, ramp >> 8)

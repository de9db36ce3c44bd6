"""Sources: the embedded digits, and torchvision's sets from small local copies."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import cifar

from vri_pyro.data import CIFAR10, CIFAR100, Digits, FashionMNIST, Source
from vri_pyro.utils.errors import UserError


def test_digits_are_split_in_proportion_and_scaled() -> None:
    arrays = Digits().load()
    assert arrays.x_train.shape == (1400, 8, 8, 1)
    assert arrays.x_test.shape == (397, 8, 8, 1)
    assert arrays.x_train.dtype == np.uint8
    assert (arrays.x_train.min(), arrays.x_train.max()) == (0, 255)
    assert set(np.bincount(arrays.y_test)) == {39, 40}


def test_test_split_of_digits_is_the_one_on_record() -> None:
    arrays = Digits().load()
    digest = hashlib.sha256(arrays.x_train.tobytes() + arrays.y_train.astype("<i8").tobytes()).hexdigest()
    assert digest == "ea831d23efdb98faba27f2b1278e36e096acad3ac41d13c7d05c9ee0edf9a452"


def _write_fashion_mnist(root: Path) -> None:
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        images = struct.pack(">IIII", 0x803, count, 28, 28) + bytes(count * 28 * 28)
        labels = struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def _write_cifar(folder: Path, parts: dict[str, int], key: str, meta: tuple[str, str], names: int) -> None:
    folder.mkdir(parents=True)
    for name, count in parts.items():
        entry = {"data": np.zeros((count, 3072), np.uint8), key: [i % names for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: [f"name {i}" for i in range(names)]}))


def test_fashion_mnist_is_read_from_its_local_copy(tmp_path: Path) -> None:
    _write_fashion_mnist(tmp_path)
    arrays = FashionMNIST(tmp_path).load()
    assert arrays.x_train.shape == (20, 28, 28, 1)
    assert arrays.y_test.tolist() == list(range(10))
    assert arrays.classes[0] == "T-shirt/top"


def test_cifar10_is_read_from_its_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The copy is synthetic, so its checksums differ from the real ones.
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    parts = {f"data_batch_{i}": 10 for i in range(1, 6)} | {"test_batch": 10}
    _write_cifar(tmp_path / "cifar-10-batches-py", parts, "labels", ("batches.meta", "label_names"), 10)
    arrays = CIFAR10(tmp_path).load()
    assert arrays.input_shape == (3, 32, 32)
    assert len(arrays.y_train) == 50
    assert arrays.classes[9] == "name 9"


def test_cifar100_is_read_from_its_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    parts = {"train": 200, "test": 100}
    _write_cifar(tmp_path / "cifar-100-python", parts, "fine_labels", ("meta", "fine_label_names"), 100)
    arrays = CIFAR100(tmp_path).load()
    assert arrays.num_classes == 100
    assert len(arrays.y_train) == 200


@pytest.mark.parametrize(
    ("source", "place"),
    [(FashionMNIST, "FashionMNIST/raw"), (CIFAR10, "cifar-10-batches-py"), (CIFAR100, "cifar-100-python")],
)
def test_missing_copy_is_refused_with_the_expected_place(
    tmp_path: Path, source: type[FashionMNIST | CIFAR10 | CIFAR100], place: str
) -> None:
    message = rf"The local copy of {source.__name__} is missing or damaged; .*{place}; .*`download: true`"
    with pytest.raises(UserError, match=message):
        source(tmp_path).load()


def test_truncated_copy_is_refused(tmp_path: Path) -> None:
    _write_fashion_mnist(tmp_path)
    images = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-5])
    with pytest.raises(UserError, match="local copy of FashionMNIST is missing or damaged"):
        FashionMNIST(tmp_path).load()


def test_failed_download_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(cifar, "download_and_extract_archive", refuse)
    with pytest.raises(UserError, match=r"CIFAR10 could not be downloaded .*no route to host"):
        CIFAR10(tmp_path, download=True).load()


def test_source_without_load_cannot_be_built() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Source()  # type: ignore[abstract]

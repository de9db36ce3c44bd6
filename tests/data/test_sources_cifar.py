"""CIFAR-10N, CIFAR-100N, CIFAR-80N and torchvision's other sets, from small local copies."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from torchvision.datasets import cifar, mnist, svhn

from vri_pyro.data import CIFAR10N, CIFAR80, CIFAR100N, KMNIST, MNIST, SVHN, PairFlip, UniformExclusive, make_split
from vri_pyro.utils.errors import UserError


@pytest.fixture(autouse=True)
def _any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the checksums, since the copies are synthetic."""
    for module in (cifar, mnist, svhn):
        monkeypatch.setattr(module, "check_integrity", lambda *_: True)


def _batch(path: Path, key: str, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.repeat(labels.astype(np.uint8)[:, None], 3072, axis=1)
    path.write_bytes(pickle.dumps({"data": data, key: labels.tolist()}))


def _cifar10(root: Path) -> np.ndarray:
    folder, labels = root / "cifar-10-batches-py", np.arange(50) % 10
    for number in range(5):
        _batch(folder / f"data_batch_{number + 1}", "labels", labels[number * 10 : number * 10 + 10])
    _batch(folder / "test_batch", "labels", np.arange(10))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"name {i}" for i in range(10)]}))
    return labels


def _cifar100(root: Path, per_class: int) -> np.ndarray:
    folder, labels = root / "cifar-100-python", np.arange(100 * per_class) % 100
    _batch(folder / "train", "fine_labels", labels)
    _batch(folder / "test", "fine_labels", np.arange(200) % 100)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"name {i}" for i in range(100)]}))
    return labels


def test_cifar10n_has_given_and_true_labels(tmp_path: Path) -> None:
    labels = _cifar10(tmp_path)
    given = (labels + (np.arange(50) % 5 == 0)) % 10
    torch.save({"clean_label": labels, "worse_label": given, "aggre_label": labels}, tmp_path / "CIFAR-10_human.pt")
    arrays = CIFAR10N(tmp_path).load()
    assert arrays.y_train_clean is not None
    np.testing.assert_array_equal(arrays.y_train, given)
    np.testing.assert_array_equal(arrays.y_train_clean, labels)
    assert (CIFAR10N(tmp_path, labels="aggre_label").load().y_train == labels).all()


def test_cifar100n_has_given_and_true_labels(tmp_path: Path) -> None:
    labels = _cifar100(tmp_path, 2)
    torch.save({"clean_label": labels, "noisy_label": labels[::-1].copy()}, tmp_path / "human.pt")
    arrays = CIFAR100N(tmp_path, file=tmp_path / "human.pt").load()
    np.testing.assert_array_equal(arrays.y_train, labels[::-1])


@pytest.mark.parametrize("clean", [None, np.roll(np.arange(50) % 10, 1)])
def test_human_labels_must_belong_to_the_images(tmp_path: Path, clean: np.ndarray | None) -> None:
    _cifar10(tmp_path)
    if clean is not None:
        torch.save({"clean_label": clean, "worse_label": clean}, tmp_path / "CIFAR-10_human.pt")
    expected = "The file .*CIFAR-10_human.pt does not exist" if clean is None else "was made for other data"
    with pytest.raises(UserError, match=expected):
        CIFAR10N(tmp_path).load()


@pytest.mark.parametrize("noise", [UniformExclusive(0.5), PairFlip(0.3)])
def test_cifar80n_has_the_published_rate(tmp_path: Path, noise: Any) -> None:
    _cifar100(tmp_path, 60)
    arrays = CIFAR80(tmp_path).load()
    assert arrays.num_classes == 80
    assert len(arrays.y_test) == 160
    assert (arrays.y_test < 80).all()
    split = make_split(arrays, noise, 1, 0, None, seed=0)
    # Labels of the last 20 classes are always wrong. The rate is thus 0.2 + 0.8ρ, up to the removed clean set.
    outside = 1200 / (6000 - 80)
    assert split.open_set_rate == pytest.approx(outside)
    assert split.nominal_rate == pytest.approx(outside + (1 - outside) * noise.rate)
    assert abs(split.realised_rate - split.nominal_rate) < 4 * np.sqrt(0.25 / 5920)


def test_cifar80n_is_the_one_on_record(tmp_path: Path) -> None:
    _cifar100(tmp_path, 60)
    split = make_split(CIFAR80(tmp_path).load(), UniformExclusive(0.5), 1, 1, 3000, seed=3)
    parts = (split.noisy_indices, split.given_labels, split.clean_indices, split.validation_indices)
    digest = hashlib.sha256(np.concatenate(parts).astype("<i8").tobytes()).hexdigest()
    assert digest == "c6a7218ed631fc62f9acd3b50307521f2804d90eecda670677aca6f8dcf52655"


def _idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.mark.parametrize("source", [MNIST, KMNIST])
def test_sets_in_the_format_of_mnist_are_read(tmp_path: Path, source: type[MNIST | KMNIST]) -> None:
    raw = tmp_path / source.__name__ / "raw"
    for part, count in (("train", 20), ("t10k", 10)):
        _idx(raw / f"{part}-images-idx3-ubyte", np.zeros((count, 28, 28)))
        _idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    arrays = source(tmp_path).load()
    assert np.asarray(arrays.x_train).shape == (20, 28, 28, 1)
    assert arrays.y_test.tolist() == list(range(10))


def test_svhn_is_read_with_channels_last_and_ten_as_zero(tmp_path: Path) -> None:
    images = np.zeros((32, 32, 3, 12), np.uint8)
    images[0, 5, 2, 7] = 99
    for part in ("train", "test"):
        labels = np.r_[np.arange(1, 11), 1, 2][:, None]
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": images, "y": labels})
    arrays = SVHN(tmp_path).load()
    assert np.asarray(arrays.x_train)[7, 0, 5, 2] == 99
    assert arrays.y_train.tolist() == [*range(1, 10), 0, 1, 2]


@pytest.mark.parametrize(
    ("source", "place"), [(MNIST, "MNIST/raw"), (KMNIST, "KMNIST/raw"), (SVHN, "train_32x32.mat and test_32x32.mat")]
)
def test_missing_copies_are_refused_with_the_expected_place(
    tmp_path: Path, source: Callable[[Path], Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with pytest.raises(UserError, match=f"expected its files at .*{place}; put them there, set `download: true`"):
        source(tmp_path).load()


def test_damaged_files_are_no_sound_copy(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(gzip.compress(b"no"))
    with pytest.raises(UserError, match="The local copy of MNIST is missing or damaged"):
        MNIST(tmp_path).load()

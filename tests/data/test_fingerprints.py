"""A fingerprint says what has changed in the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import Arrays
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.image_files import ImageFiles
from vri_pyro.data.statistics import mean_and_std, sample_of

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def arrays() -> Arrays:
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    y = np.arange(100) % 3
    return Arrays(x[:80], y[:80], x[80:], y[80:], CLASSES, clean_indices=np.arange(12))


@pytest.fixture
def images(tmp_path: Path) -> Arrays:
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(tmp_path / f"{number}.bmp")
    return of_files(tmp_path, [f"{number}.bmp" for number in range(12)])


def of_files(folder: Path, names: list[str]) -> Arrays:
    labels = np.arange(len(names)) % 3
    return Arrays(ImageFiles(folder, names, 6), labels, None, None, CLASSES, clean_indices=np.arange(3))


def fingerprint(arrays: Arrays) -> Fingerprint:
    return Fingerprint.of(arrays, sample_of(arrays.x_train))


def told(before: Arrays, **changes: Any) -> str:
    now = replace(before, **changes)
    return "; ".join(fingerprint(before).differences(fingerprint(now), now))


def changed(values: np.ndarray, at: list[int], to: Any) -> np.ndarray:
    values = values.copy()
    values[at] = to
    return values


def test_saved_fingerprint_is_that_of_the_same_data(arrays: Arrays, tmp_path: Path) -> None:
    for number, one in enumerate((arrays, replace(arrays, x_test=None, y_test=None))):
        fingerprint(one).save(tmp_path / f"{number}.npz")
        assert Fingerprint.load(tmp_path / f"{number}.npz").differences(fingerprint(one), one) == []


def test_sign_of_zero_and_dtype_of_the_file_do_not_count(arrays: Arrays) -> None:
    x = changed(arrays.x_train, [5], 0)
    before = replace(arrays, x_train=x)
    assert told(before, x_train=changed(x, [5], -0.0).astype(np.float64), y_train=arrays.y_train.astype(np.int8)) == ""


def test_trusted_positions_do_not_count(arrays: Arrays) -> None:
    assert told(arrays, clean_indices=np.arange(20)) == ""


def test_each_change_is_named(arrays: Arrays) -> None:
    x, y, order = arrays.x_train, arrays.y_train, np.random.default_rng(1).permutation(80)
    moved = f"from example {np.flatnonzero(order != np.arange(80))[0]} on"
    assert isinstance(x, np.ndarray)
    scaled = told(arrays, x_train=x * 255)
    assert scaled.startswith("all 80 training inputs differ, as after rescaling (their mean was ")
    for change, message in (
        ({"x_train": changed(x, [3, 40], 7)}, "2 of 80 training inputs differ (example 3, example 40)"),
        (
            {"y_train": changed(y, [1, 4, 7, 10], 0)},
            "4 of 80 training labels differ (example 1, example 4, example 7, …)",
        ),
        ({"x_train": x[order], "y_train": y[order]}, f"the training inputs are in another order, {moved}, together"),
        ({"x_train": x[order]}, f"the training inputs are in another order, {moved}"),
        ({"x_train": x[:70], "y_train": y[:70]}, "there are 70 training examples instead of 80"),
        ({"x_train": x[:, :3], "x_test": arrays.x_test[:, :3]}, "an input is float32 [3] instead of float32 [4]"),
        ({"classes": ("bee", "ant", "cat")}, "the classes are in another order (bee, ant, cat instead of ant, bee"),
        ({"classes": ("ant", "bee", "dog")}, "the classes differ (missing: cat; new: dog)"),
        ({"x_test": changed(arrays.x_test, [0], 9)}, "1 of 20 test inputs differ (example 0)"),
        ({"y_test": changed(arrays.y_test, [0], 1)}, "1 of 20 test labels differ (example 0)"),
        ({"x_test": None, "y_test": None}, "there is no test set now"),
        ({"y_train_clean": y, "clean_indices": None}, "the data have true labels (y_train_clean) now"),
    ):
        assert told(arrays, **change).startswith(message)


def test_true_labels_that_change_are_named(arrays: Arrays) -> None:
    with_truth = replace(arrays, clean_indices=None, y_train_clean=arrays.y_train)
    told_of = told(with_truth, y_train_clean=changed(arrays.y_train, [4], 0))
    assert told_of == "1 of 80 true labels (y_train_clean) differ (example 4)"


def test_several_changes_are_all_named(arrays: Arrays) -> None:
    change = {"x_train": changed(arrays.x_train, [3], 7), "y_train": changed(arrays.y_train, [1], 0)}
    assert told(arrays, **change, x_test=None, y_test=None) == (
        "1 of 80 training inputs differ (example 3); 1 of 80 training labels differ (example 1); "
        "there is no test set now"
    )


def test_streamed_images_are_named_by_their_files(images: Arrays, tmp_path: Path) -> None:
    before, names = fingerprint(images), [f"{number}.bmp" for number in range(12)]

    def differences(listed: list[str], **changes: Any) -> str:
        now = replace(of_files(tmp_path, listed), **changes)
        return "; ".join(before.differences(fingerprint(now), now))

    assert differences(names) == ""
    assert differences(names, y_train=changed(images.y_train, [4], 0)) == "1 of 12 training labels differ (4.bmp)"
    assert differences([*names[:4], names[5], names[4], *names[6:]]) == (
        "the list of training images is in another order, from 5.bmp on"
    )
    (tmp_path / "new.bmp").write_bytes((tmp_path / "4.bmp").read_bytes())
    assert differences([*names[:11], "new.bmp"]) == (
        "1 of 12 training images are new or renamed (new.bmp); 1 of 12 training images are missing or renamed"
    )
    Image.fromarray(np.zeros((6, 6, 3), dtype=np.uint8)).save(tmp_path / "2.bmp")
    Image.fromarray(np.zeros((7, 7, 3), dtype=np.uint8)).save(tmp_path / "3.bmp")
    assert differences(names) == (
        "1 of 12 training images have files of another size (3.bmp); "
        "1 of 12 training images looked at have other pixels (2.bmp)"
    )


def test_images_in_a_moved_folder_are_the_same(images: Arrays, tmp_path: Path) -> None:
    before = fingerprint(images)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    now = of_files(moved, [f"{number}.bmp" for number in range(12)])
    assert before.differences(fingerprint(now), now) == []


def test_streamed_images_are_read_once_for_statistics_and_fingerprint(
    images: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, index: reads.append(index) or read(self, index))
    sample = sample_of(images.x_train)
    mean_and_std(sample)
    Fingerprint.of(images, sample)
    assert sorted(reads) == list(range(12))

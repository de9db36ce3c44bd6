"""NpzFile: reading without pickle, and errors for damaged or invalid files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import NpzFile
from vri_pyro.utils.errors import UserError


def _contents() -> dict[str, Any]:
    return {
        "x_train": np.arange(6 * 64, dtype=np.float32).reshape(6, 64),
        "y_train": np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        "x_test": np.zeros((3, 64), dtype=np.float32),
        "y_test": np.array([0, 1, 2]),
    }


def _written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **(_contents() | changes))
    return path


def test_arrays_come_back_as_written(tmp_path: Path) -> None:
    arrays = NpzFile(_written(tmp_path), verified=True).load()
    assert np.array_equal(arrays.x_train, _contents()["x_train"])
    assert arrays.y_train.tolist() == [0, 1, 2, 0, 1, 2]
    assert arrays.classes == ("0", "1", "2")


def test_stored_class_names_are_kept_and_allow_classes_without_examples(tmp_path: Path) -> None:
    arrays = NpzFile(_written(tmp_path, classes=np.array(["cat", "dog", "hen", "yak"])), verified=True).load()
    assert arrays.classes == ("cat", "dog", "hen", "yak")


@pytest.mark.parametrize("known", [{"y_train_clean": np.array([0, 1, 2, 2, 1, 0])}, {"clean_indices": np.array([5])}])
def test_true_labels_and_clean_indices_are_read(tmp_path: Path, known: dict[str, np.ndarray]) -> None:
    arrays = NpzFile(_written(tmp_path, **known)).load()
    for key, values in known.items():
        assert np.array_equal(getattr(arrays, key), values)


def test_labels_may_be_strings(tmp_path: Path) -> None:
    words = {"y_train": np.array(["dog", "cat", "dog", "cat", "yak", "cat"]), "y_test": np.array(["cat", "dog", "hen"])}
    arrays = NpzFile(_written(tmp_path, **words), verified=True).load()
    assert arrays.classes == ("cat", "dog", "hen", "yak")
    assert arrays.y_train.tolist() == [1, 0, 1, 0, 3, 0]
    assert arrays.y_test is not None
    assert arrays.y_test.tolist() == [0, 1, 2]


def test_classes_that_differ_only_in_case_or_spaces_are_warned_of(tmp_path: Path) -> None:
    words = np.array(["dog", "Dog ", "cat", "dog", "cat", "cat"])
    np.savez(tmp_path / "typo.npz", x_train=np.eye(6), y_train=words)
    with pytest.warns(
        UserWarning, match="the classes 'Dog ' and 'dog' differ only in case, spaces or Unicode form; correct"
    ):
        NpzFile(tmp_path / "typo.npz", verified=True).load()


def test_no_test_set_is_needed(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x_train=np.eye(4, dtype=np.float32), y_train=np.array([0, 1, 0, 1]))
    arrays = NpzFile(tmp_path / "train.npz", verified=True).load()
    assert arrays.x_test is None
    assert arrays.y_test is None
    np.savez(tmp_path / "half.npz", x_train=np.eye(4), y_train=np.array([0, 1, 0, 1]), x_test=np.eye(4))
    with pytest.raises(UserError, match="y_test is missing; give both x_test and y_test, or neither"):
        NpzFile(tmp_path / "half.npz", verified=True).load()


def test_labels_are_not_taken_as_verified_unless_it_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="has no verified labels"):
        assert not NpzFile(_written(tmp_path)).load().truth_known


def test_compressed_files_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", **_contents())
    assert NpzFile(tmp_path / "small.npz", verified=True).load().input_shape == (64,)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("clean_indicies", "clean_indices"), ("trustd", "clean_indices"), ("verifed", "verified"), ("y_tset", "y_test")],
)
def test_misspelt_arrays_are_refused(tmp_path: Path, name: str, meant: str) -> None:
    contents = {key: value for key, value in _contents().items() if key != meant and not key.endswith("_test")}
    np.savez(tmp_path / "mine.npz", **contents, **{name: np.array([5])})
    with pytest.raises(
        UserError, match=rf"mine\.npz has the array '{name}', which is not read; rename it to '{meant}'"
    ):
        NpzFile(tmp_path / "mine.npz", verified=True).load()


@pytest.mark.parametrize("name", ["ids", "y_test_2", "x_train_clean", "verified_by", "train_indices"])
def test_other_unknown_arrays_are_warned_of(tmp_path: Path, name: str) -> None:
    with pytest.warns(UserWarning, match=f"contains unknown keys {name}, which are ignored; known keys are .*clean_in"):
        NpzFile(_written(tmp_path, **{name: np.array([5])}), verified=True).load()


def test_missing_file_is_named_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The file .*nowhere\.npz does not exist; expected .* x_train, y_train"):
        NpzFile(tmp_path / "nowhere.npz").load()


@pytest.mark.parametrize("contents", [b"", b"label,pixel\n3,255\n", b"\x80\x04\x95pickle"])
def test_other_files_are_refused(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=r"mine\.npz is not an \.npz file; expected"):
        NpzFile(path).load()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, kept: float) -> None:
    path = _written(tmp_path)
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * kept)])
    with pytest.raises(UserError, match=r"mine\.npz is truncated or damaged"):
        NpzFile(path).load()


def test_damaged_array_is_named(tmp_path: Path) -> None:
    path = _written(tmp_path)
    contents = bytearray(path.read_bytes())
    contents[600:620] = bytes(20 * [255])
    path.write_bytes(contents)
    with pytest.raises(UserError, match=r"x_train in .*mine\.npz is truncated or damaged"):
        NpzFile(path).load()


def test_missing_key_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=np.zeros((2, 2)), labels=np.zeros(2))
    with pytest.raises(UserError, match=r"lacks y_train \(it contains x_train, labels\)"):
        NpzFile(path).load()


def test_object_arrays_are_not_unpickled(tmp_path: Path) -> None:
    ragged = np.array([np.zeros(2), np.zeros(3)], dtype=object)
    with pytest.raises(UserError, match=r"x_train in .*mine\.npz is an array of Python objects"):
        NpzFile(_written(tmp_path, x_train=ragged)).load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 2, 0, 1, 255])}, "No label is 3 although the largest label is 255"),
        ({"y_train": np.array([-1, 1, 2, 0, 1, 2])}, r"mine\.npz: y_train\[0\] is -1"),
        ({"y_train": np.zeros(6), "y_test": np.zeros(3)}, "y_train has dtype float64"),
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(3, int)}, "There is 1 class;"),
        ({"y_train_clean": np.zeros(6, int), "clean_indices": np.array([0])}, "Both y_train_clean and clean"),
        ({"classes": np.arange(3)}, "classes has dtype int64"),
        ({"y_train": np.array(list("abcabc"))}, "partly strings and partly numbers .y_train <U1, y_test int64"),
        (
            {
                "y_train": np.array(list("abcabc")),
                "y_test": np.array(list("abd")),
                "classes": np.array(["a", "b", "c"]),
            },
            "y_test contains 'd', which is not in classes",
        ),
        ({"x_test": np.zeros((3, 63), np.float32)}, "x_test has examples of shape"),
    ],
)
def test_bad_contents_are_named_with_the_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NpzFile(_written(tmp_path, **changes), verified=True).load()


@pytest.mark.shared_data
def test_fashion_mnist_pack_reads_as_a_users_own_file(unpacked: Callable[[str], Path]) -> None:
    arrays = NpzFile(unpacked("fashion_mnist"), verified=True).load()
    assert arrays.x_train.shape == (60_000, 28, 28, 1)
    assert arrays.x_test.shape == (10_000, 28, 28, 1)
    assert np.bincount(arrays.y_train).tolist() == [6000] * 10


@pytest.mark.shared_data
def test_cifar10_pack_reads_as_a_users_own_file(unpacked: Callable[[str], Path]) -> None:
    arrays = NpzFile(unpacked("cifar10"), verified=True).load()
    assert arrays.input_shape == (3, 32, 32)
    assert np.bincount(arrays.y_train).tolist() == [5000] * 10

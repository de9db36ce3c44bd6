"""Splits: saving, loading and validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import Arrays, Flip, NoNoise, Split, make_split
from vri_pyro.utils.errors import UserError


@pytest.fixture
def split(blobs: Arrays) -> Split:
    return make_split(blobs, Flip(0.4), 2, 3, None, seed=5)


def _same(first: Split, second: Split) -> None:
    for field in dataclasses.fields(Split):
        np.testing.assert_equal(getattr(first, field.name), getattr(second, field.name))


def test_loaded_split_is_the_saved_one(tmp_path: Path, split: Split) -> None:
    split.save(tmp_path / "split.npz")
    _same(Split.load(tmp_path / "split.npz"), split)
    assert [path.name for path in tmp_path.iterdir()] == ["split.npz"]


def test_split_of_unknown_truth_survives_saving(tmp_path: Path, arrays_of: Callable[..., Arrays]) -> None:
    unknown = make_split(arrays_of(3, 20, clean_indices=np.arange(30)), NoNoise(), None, 0, None, seed=5)
    unknown.save(tmp_path / "split.npz")
    loaded = Split.load(tmp_path / "split.npz")
    _same(loaded, unknown)
    assert loaded.true_labels is None
    assert loaded.transition is None


def test_summary_holds_plain_numbers(split: Split) -> None:
    assert {type(value) for value in split.summary().values()} == {int, float}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: {"noisy_indices": np.append(s.noisy_indices[1:], s.clean_indices[2])},
            r"noisy_indices and clean_indices share 1 examples, the first at index \d+; make",
        ),
        (
            lambda s: {"validation_indices": np.append(s.clean_indices, s.validation_indices[:3])},
            "clean_indices and validation_indices share 6 examples",
        ),
        (lambda s: {"clean_indices": s.clean_indices + 60}, r"clean_indices\[0\] is \d+; the training set has 60"),
        (lambda s: {"clean_indices": s.clean_indices.astype(float)}, "clean_indices has dtype float64"),
        (lambda s: {"noisy_indices": np.repeat(s.noisy_indices[:1], 45)}, "noisy_indices contains index"),
        (lambda s: {"given_labels": s.given_labels[1:]}, "given_labels has 44 labels for 45 examples"),
        (lambda s: {"true_labels": s.true_labels[1:]}, "true_labels has 44 labels for 45 examples"),
        (lambda s: {"clean_labels": s.clean_labels + 1}, r"clean_labels\[\d\] is 3; labels are 0 to 2"),
        (
            lambda s: {n: getattr(s, n)[:0] for n in ("noisy_indices", "given_labels", "true_labels")},
            "noisy_indices is empty",
        ),
        (lambda s: {"transition": np.eye(4)}, r"transition has shape \(4, 4\)"),
        (lambda s: {"transition": np.eye(3) * np.array([1, 1, 2])}, "Row 2 of transition is not a distribution"),
    ],
)
def test_unsound_split_is_refused_when_built_and_when_loaded(
    tmp_path: Path, split: Split, change: Callable[[Split], dict[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(split, **change(split))
    split.save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as pack:
        contents = dict(pack)
    np.savez(tmp_path / "split.npz", **(contents | change(split)))
    with pytest.raises(UserError, match=r"In .*split\.npz: ") as caught:
        Split.load(tmp_path / "split.npz")
    assert caught.match(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": np.array([1, 2])}, r"seed has shape \(2,\)"),
        ({"num_train": np.array("many")}, "num_train is 'many'; expected a value of type int"),
    ],
)
def test_invalid_scalars_are_refused(tmp_path: Path, split: Split, change: dict[str, np.ndarray], message: str) -> None:
    split.save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as pack:
        contents = dict(pack)
    np.savez(tmp_path / "split.npz", **(contents | change))
    with pytest.raises(UserError, match=message):
        Split.load(tmp_path / "split.npz")


def test_file_that_is_no_split_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "split.npz", x_train=np.zeros(3))
    with pytest.raises(UserError, match="lacks noisy_indices"):
        Split.load(tmp_path / "split.npz")


def test_split_of_other_data_does_not_fit(split: Split, arrays_of: Callable[..., Arrays]) -> None:
    with pytest.raises(UserError, match="for 60 training examples but the data have 63"):
        split.check_fits(arrays_of(3, 21))
    with pytest.raises(UserError, match="for 3 classes but the data have 2"):
        split.check_fits(arrays_of(2, 30))
    without_labels_of_the_data = dataclasses.replace(split, data_labels=None)  # as in files of older versions
    with pytest.raises(UserError, match="clean_labels differ from the labels of the data"):
        without_labels_of_the_data.check_fits(arrays_of(3, 20, y_train=(np.arange(60) + 1) % 3))


def test_label_corrected_in_the_data_is_not_taken_from_an_older_split(
    tmp_path: Path, blobs: Arrays, arrays_of: Callable[..., Arrays]
) -> None:
    trusted = {"clean_indices": np.arange(30), "y_train": blobs.y_train}
    make_split(arrays_of(3, 20, **trusted), NoNoise(), 3, 3, None, 0).save(tmp_path / "split.npz")
    corrected = blobs.y_train.copy()
    corrected[41] = 0  # a noisy example
    loaded = Split.load(tmp_path / "split.npz")
    loaded.check_fits(arrays_of(3, 20, **trusted))
    with pytest.raises(UserError, match=r"1 label of the data has changed .* \(example 41\).* vri-pyro relabel"):
        loaded.check_fits(arrays_of(3, 20, **trusted | {"y_train": corrected}))


def test_removed_examples_leave_every_part_of_the_split(split: Split) -> None:
    gone = np.array([split.noisy_indices[3], split.clean_indices[0], split.validation_indices[-1]])
    kept = split.without(gone)
    for part, labels in (("noisy", "given"), ("noisy", "true"), ("clean", "clean"), ("validation", "validation")):
        before = dict(zip(getattr(split, f"{part}_indices"), getattr(split, f"{labels}_labels"), strict=True))
        after = dict(zip(getattr(kept, f"{part}_indices"), getattr(kept, f"{labels}_labels"), strict=True))
        assert after == {index: label for index, label in before.items() if index not in gone}
    with pytest.raises(UserError, match="No noisy example remains"):
        split.without(split.noisy_indices)

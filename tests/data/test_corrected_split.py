"""Splits with labels that a person has corrected or confirmed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.data import Arrays, Flip, NoNoise, OpenSet, Split, make_split
from vri_pyro.utils.errors import UserError

LATER = ("corrected_indices", "labels_before")  # fields that splits of earlier versions lack


@pytest.fixture
def split(blobs: Arrays) -> Split:
    return make_split(blobs, Flip(0.4), 2, 3, None, seed=5)


def test_corrected_examples_join_the_clean_set_with_their_new_labels(split: Split) -> None:
    first, second, third = split.noisy_indices[[7, 2, 30]].tolist()
    new = split.corrected(np.array([first, second, third]), np.array([2, 0, -1]))
    assert set(new.noisy_indices) == set(split.noisy_indices) - {first, second, third}
    assert set(new.clean_indices) == set(split.clean_indices) | {first, second}
    assert (np.diff(new.clean_indices) > 0).all()
    labels = dict(zip(new.clean_indices.tolist(), new.clean_labels.tolist(), strict=True))
    assert (labels[first], labels[second]) == (2, 0)
    assert labels.items() >= dict(zip(split.clean_indices.tolist(), split.clean_labels.tolist(), strict=True)).items()
    rest = np.isin(split.noisy_indices, new.noisy_indices)
    assert np.array_equal(new.given_labels, split.given_labels[rest])
    assert split.true_labels is not None
    assert np.array_equal(new.true_labels, split.true_labels[rest])  # type: ignore[arg-type]
    assert math.isnan(new.nominal_rate)
    assert new.transition is None


def test_corrected_validation_and_clean_examples_stay_where_they_are(split: Split) -> None:
    clean, validation = split.clean_indices[0], split.validation_indices[0]
    other = {
        part: (labels[0] + 1) % 3
        for part, labels in ((clean, split.clean_labels), (validation, split.validation_labels))
    }
    new = split.corrected(np.array([clean, validation]), np.array([other[clean], other[validation]]))
    assert np.array_equal(new.clean_indices, split.clean_indices)
    assert np.array_equal(new.validation_indices, split.validation_indices)
    assert new.clean_labels[0] == other[clean]
    assert new.validation_labels[0] == other[validation]
    gone = split.corrected(np.array([clean, validation]), np.array([-1, -1]))
    assert len(gone.clean_indices) == len(split.clean_indices) - 1
    assert len(gone.validation_indices) == len(split.validation_indices) - 1


def test_corrections_accumulate_and_a_person_can_change_their_mind(blobs: Arrays, split: Split) -> None:
    one, two, removed = split.noisy_indices[:3]
    new = split.corrected(np.array([one, removed]), np.array([0, -1]))
    new = new.corrected(np.array([one, two, removed]), np.array([1, 1, 2]))
    assert set(new.corrected_indices) == {one, two, removed}
    assert [new.labels(blobs.y_train)[index] for index in (one, two, removed)] == [1, 1, 2]
    assert len(new.noisy_indices) == len(split.noisy_indices) - 3


def test_labels_of_before_a_review_are_kept(blobs: Arrays, split: Split) -> None:
    """Noise is estimated from all labels that it has produced, also after several reviews."""
    noisy, clean = split.noisy_indices[:2], split.clean_indices[0]
    given = split.given_labels[:2]
    new = split.corrected(np.array([noisy[0], clean]), np.array([(given[0] + 1) % 3, 2]))
    new = new.corrected(noisy, (given + 2) % 3)
    labels = new.labels_as_given(blobs.y_train)
    assert np.array_equal(labels[noisy], given)
    assert labels[clean] == 2  # it had no noisy label
    assert np.array_equal(labels[new.noisy_indices], new.given_labels)
    assert np.array_equal(new.labels(blobs.y_train)[noisy], (given + 2) % 3)


def test_corrected_split_fits_its_data_when_loaded_and_no_other_data(
    blobs: Arrays, split: Split, tmp_path: Path
) -> None:
    wrong = (blobs.y_train[split.noisy_indices[:5]] + 1) % 3
    split.corrected(split.noisy_indices[:5], wrong).save(tmp_path / "split.npz")
    new = Split.load(tmp_path / "split.npz")
    assert new.of(blobs) is new
    assert np.array_equal(new.corrected_indices, split.noisy_indices[:5])
    clean = dataclasses.replace(new, corrected_indices=new.corrected_indices[1:], labels_before=new.labels_before[1:])
    with pytest.raises(UserError, match="The split's clean_labels differ from the labels of the data"):
        clean.of(blobs)


def test_split_without_corrections_of_an_earlier_version_is_loaded(split: Split, tmp_path: Path) -> None:
    split.save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as pack:
        np.savez(tmp_path / "old.npz", **{name: pack[name] for name in pack.files if name not in LATER})
    assert len(Split.load(tmp_path / "old.npz").corrected_indices) == 0


def test_clean_labels_are_verified_once_a_person_has_reviewed_them(arrays_of: Callable[..., Arrays]) -> None:
    arrays = dataclasses.replace(arrays_of(3, 20), verified=False)
    split = make_split(arrays, NoNoise(), 2, 1, None, seed=0)
    trusted = np.concatenate([split.clean_indices, split.validation_indices])
    noisy = split.noisy_indices[:2]
    labels = arrays.y_train
    assert "some of them may be wrong" in (split.corrected(noisy, labels[noisy]).caveat or "")
    assert split.corrected(trusted, labels[trusted]).caveat is None


def test_replaced_images_of_corrected_examples_are_kept(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), dtype=np.uint8)
    np.savez(tmp_path / "foreign.npz", x=np.full((50, 4, 4, 1), 255, dtype=np.uint8))
    labels = np.arange(60) % 3
    arrays = Arrays(images, labels, images[:3], labels[:3], ("a", "b", "c"))
    split = make_split(arrays, OpenSet(tmp_path / "foreign.npz", 0.5), 2, 0, None, seed=0)
    assert split.replaced_indices is not None
    kept, removed = split.replaced_indices[:2]
    new = split.corrected(np.array([kept, removed]), np.array([0, -1]))
    new.save(tmp_path / "split.npz")
    new = Split.load(tmp_path / "split.npz").of(arrays)
    assert kept in new.clean_indices
    assert (new.inputs(arrays.x_train)[kept] == 255).all()


def test_batches_of_a_corrected_split_draw_reviewed_labels_and_every_clean_class_equally_often(split: Split) -> None:
    assert split.clean_draws is split.clean_indices
    new = split.corrected(split.noisy_indices[:7], np.array([0] * 5 + [1, -1]))
    assert np.bincount(new.clean_labels).tolist() == [7, 3, 2]
    drawn, counts = np.unique(new.clean_draws, return_counts=True)
    assert np.array_equal(drawn, new.clean_indices)
    assert np.bincount(new.clean_labels, weights=counts).tolist() == [7, 7, 7]
    assert [np.ptp(counts[new.clean_labels == label]) for label in range(3)] == [0, 1, 1]
    assert split.noisy_draws is split.noisy_indices
    assert np.array_equal(new.noisy_draws, np.delete(split.noisy_indices, 6))
    only = split.corrected(split.validation_indices, split.validation_labels)
    assert only.clean_draws is only.clean_indices
    assert np.array_equal(only.noisy_draws, split.noisy_indices)


@pytest.mark.parametrize(
    ("indices", "labels", "message"),
    [
        ([60], [0], r"indices\[0\] is 60; the training set has 60 examples"),
        ([1, 1], [0, 0], "indices contains index 1 more than once"),
        ([1, 2], [0, 3], r"labels\[1\] is 3; labels are 0 to 2, or -1 for no class"),
        ([1, 2], [0], "labels has 1 labels for 2 examples"),
        (range(60), [0] * 60, "noisy_indices is empty"),
    ],
)
def test_unusable_corrections_raise(split: Split, indices: list[int], labels: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split.corrected(np.array(indices), np.array(labels))


def test_corrected_example_in_the_noisy_set_raises(split: Split) -> None:
    with pytest.raises(UserError, match="corrected_indices and noisy_indices share 1 examples"):
        dataclasses.replace(split, corrected_indices=split.noisy_indices[:1])

"""Verified classes beside the labels as given: in arrays, splits and fingerprints, and from answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vri_pyro.data import Arrays, Flip, NoNoise, Split, default_noise, make_split, verified_of_answers
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.statistics import sample_of
from vri_pyro.data.verified import number_verified
from vri_pyro.utils.errors import UserError, UserTypeError

CHECKED = np.arange(0, 60, 4)
#: the checked class of every fourth example; the labels as given are 0, 1, 2, 0, …, so a fifth of these is wrong
VERIFIED = np.where(np.arange(60) % 4 == 0, (np.arange(60) + (np.arange(60) % 20 == 0)) % 3, -1)


@pytest.fixture
def checked(blobs: Arrays) -> Arrays:
    return replace(blobs, verified_labels=VERIFIED)


def test_verified_examples_are_trusted_with_their_checked_class_and_keep_their_label(checked: Arrays) -> None:
    assert checked.observed
    assert checked.truth_known
    assert np.array_equal(checked.trusted_indices, CHECKED)  # type: ignore[arg-type]
    assert np.array_equal(checked.y_train, np.arange(60) % 3)
    assert np.array_equal(checked.truth[CHECKED], VERIFIED[CHECKED])
    assert default_noise(checked) == NoNoise()
    split = make_split(checked, NoNoise(), None, None, None, seed=3)
    trusted = np.concatenate([split.clean_indices, split.validation_indices])
    assert sorted(trusted) == CHECKED.tolist()
    assert len(split.validation_indices) > 0
    labels = split.labels(checked.y_train)
    assert np.array_equal(labels[CHECKED], VERIFIED[CHECKED])
    assert np.array_equal(labels[split.noisy_indices], checked.y_train[split.noisy_indices])


def test_pairs_are_counted_by_checked_class_and_label_as_given_also_outside_of_all_parts(checked: Arrays) -> None:
    split = make_split(checked, NoNoise(), clean_per_class=1, validation_per_class=1, noisy_size=10, seed=3)
    assert split.pairs is not None
    assert np.array_equal(split.pairs.indices, CHECKED)
    expected = np.zeros((3, 3), dtype=int)
    for index in CHECKED:
        expected[VERIFIED[index], index % 3] += 1
    assert np.array_equal(split.pairs.counts(3), expected)
    assert split.pairs.wrong == 3
    assert split.pairs.described == "15 labels were checked, 3 of them were wrong"
    assert split.summary()["checked"] == 15
    assert split.summary()["checked_wrong"] == 3


def test_saved_split_keeps_both_labels_and_one_without_pairs_has_no_new_key(
    checked: Arrays, blobs: Arrays, tmp_path: Path
) -> None:
    make_split(checked, NoNoise(), None, None, None, 3).save(tmp_path / "split.npz")
    pairs = Split.load(tmp_path / "split.npz").of(checked).pairs
    assert pairs is not None
    assert np.array_equal(pairs.classes, VERIFIED[CHECKED])
    assert np.array_equal(pairs.given, CHECKED % 3)
    split = make_split(blobs, NoNoise(), 2, 2, None, 3)
    assert split.pairs is None
    assert "checked" not in split.summary()
    split.save(tmp_path / "plain.npz")
    assert "verified_labels" not in np.load(tmp_path / "plain.npz").files


@pytest.mark.parametrize(
    ("verified", "message"),
    [
        (VERIFIED[:-1], "verified has 59 entries for 60 examples"),
        (VERIFIED * 1.5, "verified has dtype float64 but must have an integer dtype"),
        (np.full(60, -1), "verified has no checked class"),
        (np.where(VERIFIED == 2, 3, VERIFIED), r"verified\[\d+\] is 3; classes are 0 to 2"),
        (np.where(VERIFIED == 2, -2, VERIFIED), r"verified\[\d+\] is -2"),
        (np.array(True), "verified has shape"),
    ],
)
def test_unusable_verified_labels_are_refused(blobs: Arrays, verified: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(blobs, verified_labels=verified)


def test_trusted_label_that_is_not_the_checked_class_is_refused(blobs: Arrays) -> None:
    wrong, right = CHECKED[0], CHECKED[1]
    with pytest.raises(UserError, match="Example 0 is in clean_indices, which says that its label 'class 0' is right"):
        replace(blobs, verified_labels=VERIFIED, clean_indices=np.array([wrong, 5]))
    with pytest.raises(UserError, match="is in validation_indices"):
        replace(blobs, verified_labels=VERIFIED, validation_indices=np.array([wrong]))
    both = replace(blobs, verified_labels=VERIFIED, clean_indices=np.array([right, 5]))
    assert both.trusted_indices is not None
    assert sorted(both.trusted_indices) == sorted({*CHECKED.tolist(), 5})


def test_verified_labels_beside_all_true_labels_or_injected_noise_are_refused(checked: Arrays) -> None:
    with pytest.raises(UserError, match="Both y_train_clean and verified"):
        replace(checked, y_train_clean=checked.y_train)
    with pytest.raises(UserError, match="The data have verified labels beside the labels as given, but Flip"):
        make_split(checked, Flip(0.4), None, None, None, 3)


def test_validation_examples_of_the_data_can_do_with_verified_labels_as_clean_set(blobs: Arrays) -> None:
    arrays = replace(blobs, verified_labels=VERIFIED, validation_indices=np.array([1, 2, 3]))
    split = make_split(arrays, NoNoise(), None, None, None, 0)
    assert split.validation_indices.tolist() == [1, 2, 3]
    assert np.array_equal(split.clean_indices, CHECKED)


def test_split_refuses_verified_labels_that_changed_and_warns_of_those_that_came_later(
    checked: Arrays, blobs: Arrays
) -> None:
    split = make_split(checked, NoNoise(), None, None, None, 3)
    other = VERIFIED.copy()
    other[CHECKED[2]] = (other[CHECKED[2]] + 1) % 3
    with pytest.raises(UserError, match=r"1 verified label of the data has changed .*\(example 8\)"):
        split.check_fits(replace(blobs, verified_labels=other))
    with pytest.raises(UserError, match="15 verified labels of the data have changed"):
        split.check_fits(replace(blobs, clean_indices=CHECKED))
    earlier = make_split(blobs, NoNoise(), 2, 2, None, 3)
    with pytest.warns(UserWarning, match="15 labels of the data were checked after the split was drawn"):
        earlier.of(checked)


def test_split_whose_noisy_set_has_a_verified_example_is_refused(checked: Arrays) -> None:
    split = make_split(checked, NoNoise(), None, None, None, 3)
    assert split.verified_labels is not None
    verified = split.verified_labels.copy()
    verified[split.noisy_indices[0]] = 1
    with pytest.raises(UserError, match="verified_labels and noisy_indices share 1 examples"):
        replace(split, verified_labels=verified)
    with pytest.raises(UserError, match="verified_labels is given without data_labels"):
        replace(split, data_labels=None)


def test_relabelled_pair_keeps_its_old_label_as_one_that_was_reviewed(checked: Arrays) -> None:
    split = make_split(checked, NoNoise(), None, None, None, 3)
    index, label = CHECKED[0], (VERIFIED[CHECKED[0]] + 1) % 3
    new = split.corrected(np.array([index]), np.array([label]))
    assert new.pairs is not None
    assert index not in new.pairs.indices
    assert len(new.pairs.indices) == 14
    assert new.labels_before.tolist() == [checked.y_train[index]]
    assert new.labels(checked.y_train)[index] == label
    new.check_fits(checked)
    assert split.corrected(CHECKED, VERIFIED[CHECKED]).pairs is None


def test_fingerprint_notices_changed_verified_labels_but_not_those_that_came_later(
    checked: Arrays, blobs: Arrays, tmp_path: Path
) -> None:
    def fingerprint(arrays: Arrays) -> Fingerprint:
        return Fingerprint.of(arrays, sample_of(arrays.x_train))  # type: ignore[arg-type]

    fingerprint(checked).save(tmp_path / "with.npz")
    fingerprint(blobs).save(tmp_path / "without.npz")
    assert "verified_labels" not in np.load(tmp_path / "without.npz").files
    kept = Fingerprint.load(tmp_path / "with.npz")
    assert kept.differences(fingerprint(checked), checked) == []
    other = replace(blobs, verified_labels=np.roll(VERIFIED, 4))
    assert "verified labels differ" in kept.differences(fingerprint(other), other)[0]
    assert kept.differences(fingerprint(blobs), blobs) == ["the data have no verified labels now"]
    assert Fingerprint.load(tmp_path / "without.npz").differences(fingerprint(checked), checked) == []


@pytest.mark.parametrize(
    ("verified", "classes", "expected"),
    [
        (["b", "", None, "a"], ["a", "b"], [1, -1, -1, 0]),
        ([1, -1, 0, -1], [0, 1], [1, -1, 0, -1]),
        (np.array([1.0, np.nan, 0.0, np.nan]), [0, 1], [1, -1, 0, -1]),
        ([-1, None, 1, None], [-1, 1], [0, -1, 1, -1]),
        (pd.Series(pd.Categorical(["b", None, None, "a"])), ["a", "b"], [1, -1, -1, 0]),
        (pd.Series([1, None, 0, None], dtype="Int64"), [0, 1], [1, -1, 0, -1]),
    ],
)
def test_checked_classes_of_any_type_are_numbered(verified: Any, classes: list[Any], expected: list[int]) -> None:
    assert number_verified("verified", verified, classes, 4).tolist() == expected


@pytest.mark.parametrize(
    ("verified", "classes", "error", "message"),
    [
        (["b", "", None], ["a", "b"], UserError, "verified has 3 entries for 4 examples"),
        ([1.5, -1, -1, -1], [0, 1], UserError, r"verified\[0\] is 1.5, which is not one of the classes \(0, 1\)"),
        (["", "z", "", ""], ["a", "b"], UserError, r"verified\[1\] is 'z'"),
        ([None] * 4, ["a", "b"], UserError, "verified has no checked class"),
        ([-1, 1, 1, -1], [-1, 1], UserError, "None or NaN marks an unchecked example, since -1 is a class"),
        (["a", "a", "b", "b"], ["a", "b"], UserError, "verified has a class for every example"),
        ([True, False, False, False], [0, 1], UserTypeError, "verified is a mask"),
        ([[0], [1], None, None], [0, 1], UserTypeError, "not hashable"),
        ("abab", ["a", "b"], UserTypeError, "verified is a str"),
    ],
)
def test_unusable_checked_classes_are_refused(
    verified: Any, classes: Sequence[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        number_verified("verified", verified, classes, 4)


def test_answers_about_single_examples_become_an_array_of_verified_classes() -> None:
    assert verified_of_answers([3, 1, 3], [2, 0, 2], 5).tolist() == [-1, 0, -1, 2, -1]
    assert verified_of_answers([3], ["cat"], 4).tolist() == ["", "", "", "cat"]


@pytest.mark.parametrize(
    ("indices", "classes", "message"),
    [
        ([], [], "expected one class for each answer"),
        ([1, 2], [0], "expected one class for each answer"),
        ([5], [0], "positions from 0 to 4"),
        ([1.0], [0], "positions from 0 to 4"),
        ([1], [0.5], "classes has dtype float64"),
        ([1], [-1], r"classes\[0\] has no class"),
        ([1], [""], r"classes\[0\] has no class"),
        ([1, 1], [0, 2], "Example 1 has two answers that differ"),
    ],
)
def test_unusable_answers_are_refused(indices: list[Any], classes: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        verified_of_answers(indices, classes, 5)

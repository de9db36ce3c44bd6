"""Splitting: disjoint, balanced and seeded parts; known and unknown true labels; errors for invalid sizes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import (
    Arrays,
    Digits,
    Flip,
    LabelNoise,
    NoNoise,
    NpzFile,
    Split,
    UniformExclusive,
    UniformInclusive,
    make_split,
)
from vri_pyro.utils.errors import UserError

FIXED: dict[str, Any] = {"noise": NoNoise(), "clean_per_class": 2, "validation_per_class": 3, "noisy_size": None}


def _split(arrays: Arrays, seed: int = 0, **changes: Any) -> Split:
    return make_split(arrays, seed=seed, **(FIXED | changes))


@given(
    num_classes=st.integers(2, 8),
    clean=st.integers(1, 5),
    validation=st.integers(0, 5),
    size=st.one_of(st.none(), st.integers(1, 20)),
    rate=st.sampled_from([0.0, 0.3, 1.0]),
    recipe=st.sampled_from([UniformInclusive, UniformExclusive, Flip]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_parts_are_disjoint_balanced_and_hold_the_truth(
    arrays_of: Callable[..., Arrays],
    num_classes: int,
    clean: int,
    validation: int,
    size: int | None,
    rate: float,
    recipe: type[Flip],
    seed: int,
) -> None:
    arrays = arrays_of(num_classes, 20)
    split = make_split(arrays, recipe(rate), clean, validation, size, seed)
    parts = [split.noisy_indices, split.clean_indices, split.validation_indices]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert len(split.noisy_indices) == (num_classes * (20 - clean - validation) if size is None else size)
    assert np.bincount(split.clean_labels, minlength=num_classes).tolist() == [clean] * num_classes
    assert np.bincount(split.validation_labels, minlength=num_classes).tolist() == [validation] * num_classes
    assert np.array_equal(split.clean_labels, arrays.y_train[split.clean_indices])
    assert np.array_equal(split.validation_labels, arrays.y_train[split.validation_indices])
    assert split.true_labels is not None
    assert np.array_equal(split.true_labels, arrays.y_train[split.noisy_indices])
    assert split.realised_rate == pytest.approx((split.given_labels != split.true_labels).mean())
    split.check_fits(arrays)


def test_same_seed_gives_the_same_split_and_another_seed_another(blobs: Arrays) -> None:
    first, again, other = (_split(blobs, seed, noise=Flip(0.4)) for seed in (1, 1, 2))
    for name in ("noisy_indices", "clean_indices", "validation_indices", "given_labels"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.clean_indices, other.clean_indices)


def test_clean_sets_of_one_seed_are_nested_beside_one_validation_set(blobs: Arrays) -> None:
    small, large = _split(blobs, clean_per_class=2), _split(blobs, clean_per_class=6)
    assert set(small.clean_indices) < set(large.clean_indices)
    assert np.array_equal(small.validation_indices, large.validation_indices)


def test_split_of_the_digits_is_the_one_on_record() -> None:
    split = make_split(Digits().load(), UniformInclusive(0.4), 10, 5, 1000, seed=3)
    parts = (split.noisy_indices, split.given_labels, split.clean_indices, split.validation_indices)
    digest = hashlib.sha256(np.concatenate(parts).astype("<i8").tobytes()).hexdigest()
    assert digest == "2218994de3224113915d4a37ebe06b18c9f3814765edef19d708f4c70553623b"


def test_injected_noise_is_on_record(blobs: Arrays) -> None:
    split = _split(blobs, noise=UniformInclusive(0.3))
    assert split.noise == "UniformInclusive(rate=0.3)"
    assert split.nominal_rate == pytest.approx(0.2)
    assert split.transition is not None


def test_observed_labels_keep_their_flips_and_the_clean_set_gets_the_truth(
    arrays_of: Callable[..., Arrays],
) -> None:
    truth = np.arange(60) % 3
    arrays = arrays_of(3, 20, y_train=(truth + 1) % 3, y_train_clean=truth)
    split = _split(arrays)
    assert np.array_equal(split.clean_labels, truth[split.clean_indices])
    assert np.array_equal(split.validation_labels, truth[split.validation_indices])
    assert split.realised_rate == 1.0
    assert split.noise == "observed"
    assert math.isnan(split.nominal_rate)
    assert split.transition is None


def test_trusted_examples_are_shared_between_validation_and_clean_set(
    arrays_of: Callable[..., Arrays],
) -> None:
    trusted = np.arange(30)[::-1].copy()
    arrays = arrays_of(3, 20, clean_indices=trusted)
    split = _split(arrays, clean_per_class=None)
    assert np.array_equal(np.sort(np.concatenate([split.clean_indices, split.validation_indices])), np.arange(30))
    assert len(split.validation_indices) == 9
    assert np.array_equal(split.noisy_indices, np.arange(30, 60))
    assert split.true_labels is None
    assert math.isnan(split.realised_rate)
    assert split.noise == "observed"


def test_unused_trusted_examples_do_not_become_noisy(arrays_of: Callable[..., Arrays]) -> None:
    split = _split(arrays_of(3, 20, clean_indices=np.arange(30)), clean_per_class=1)
    assert len(split.clean_indices) == 3
    assert split.noisy_indices.min() == 30


def test_noise_injected_beside_trusted_examples_makes_the_truth_known(arrays_of: Callable[..., Arrays]) -> None:
    with pytest.warns(UserWarning, match=r"Flip\(rate=1.0\) is injected into unverified labels"):
        split = _split(arrays_of(3, 20, clean_indices=np.arange(30)), noise=Flip(1.0))
    assert split.realised_rate == 1.0
    assert split.noise == "Flip(rate=1.0)"


def test_class_without_trusted_examples_is_warned_of_by_name(arrays_of: Callable[..., Arrays]) -> None:
    arrays = arrays_of(3, 20, clean_indices=np.flatnonzero(np.arange(60) % 3 != 1))
    with pytest.warns(UserWarning, match=r"no example of 1 of 3 classes \('class 1'\)"):
        split = _split(arrays, clean_per_class=None)
    assert set(split.clean_labels) == {0, 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean_per_class": -1}, "clean_per_class is -1; expected a value >= 0"),
        ({"validation_per_class": -1}, "validation_per_class is -1; expected a value >= 0"),
        ({"clean_per_class": 17}, "No examples are left for the noisy set"),
        ({"noisy_size": 46}, "noisy_size is 46 but only 45 examples are left"),
        ({"noisy_size": 0}, "noisy_size is 0; expected a value >= 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_request_is_refused(blobs: Arrays, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _split(blobs, **changes)


@pytest.mark.parametrize("noise", [Flip(0.2), UniformExclusive(0.0)])
def test_noise_is_not_injected_into_labels_that_are_noisy_already(
    arrays_of: Callable[..., Arrays], noise: LabelNoise
) -> None:
    arrays = arrays_of(3, 20, y_train_clean=np.arange(60) % 3)
    with pytest.raises(UserError, match="y_train is already noisy"):
        _split(arrays, noise=noise)


def test_trusted_examples_are_used_whole_by_default(arrays_of: Callable[..., Arrays]) -> None:
    split = _split(arrays_of(3, 40, clean_indices=np.arange(60)), clean_per_class=None, validation_per_class=None)
    assert (len(split.clean_indices), len(split.validation_indices)) == (51, 9)
    few = _split(arrays_of(3, 40, clean_indices=np.arange(12)), clean_per_class=None, validation_per_class=None)
    assert (len(few.clean_indices), len(few.validation_indices)) == (9, 3)
    own = replace(arrays_of(3, 40, clean_indices=np.arange(60)), validation_indices=np.arange(60, 75))
    assert len(_split(own, clean_per_class=None, validation_per_class=None).clean_indices) == 60


def test_three_clean_and_three_validation_examples_are_drawn_if_none_are_marked(blobs: Arrays) -> None:
    split = _split(blobs, clean_per_class=None, validation_per_class=None)
    classes = blobs.num_classes
    assert (len(split.clean_indices), len(split.validation_indices)) == (3 * classes, 3 * classes)


def test_class_with_too_few_trusted_examples_gets_what_is_possible_with_a_warning(
    arrays_of: Callable[..., Arrays],
) -> None:
    arrays = arrays_of(3, 20, clean_indices=np.array([0, 3, 6, 1, 4, 7, 2]))
    with pytest.warns(
        UserWarning,
        match=r"3 of 3 classes have fewer trusted examples than split.clean_per_class \+ split.validation_per_class = "
        r"2 \+ 3: 'class 0' has 3 and gets 2 \+ 1, .*'class 2' has 1 and gets 1 \+ 0",
    ):
        split = _split(arrays, clean_per_class=2, validation_per_class=3)
    np.testing.assert_array_equal(np.bincount(split.clean_labels), [2, 2, 1])
    np.testing.assert_array_equal(np.bincount(split.validation_labels), [1, 1])


def test_class_that_is_too_small_keeps_half_of_its_examples_in_the_noisy_set(blobs: Arrays) -> None:
    with pytest.warns(UserWarning, match="classes have fewer examples than"):
        split = _split(blobs, clean_per_class=18, validation_per_class=3)
    np.testing.assert_array_equal(np.bincount(split.clean_labels), [10] * blobs.num_classes)
    assert len(split.validation_indices) == 0


def test_clean_set_may_be_empty_and_leaves_its_examples_to_the_noisy_part(blobs: Arrays) -> None:
    split = _split(blobs, clean_per_class=0)
    assert len(split.clean_indices) == len(split.clean_labels) == 0
    taken = np.concatenate([split.noisy_indices, split.validation_indices])
    np.testing.assert_array_equal(np.sort(taken), np.arange(len(blobs.y_train)))


def test_no_trusted_example_at_all_is_refused(arrays_of: Callable[..., Arrays]) -> None:
    with pytest.raises(UserError, match="clean_indices is empty"):
        _split(arrays_of(3, 20, clean_indices=np.array([], dtype=int)))


@pytest.mark.shared_data
def test_fashion_mnist_splits_by_the_papers_protocol(unpacked: Callable[[str], Path]) -> None:
    arrays = NpzFile(unpacked("fashion_mnist"), verified=True).load()
    split = make_split(arrays, UniformInclusive(0.4), 100, 100, None, seed=0)
    assert split.summary() == {
        "noisy": 58_000,
        "clean": 1_000,
        "validation": 1_000,
        "classes": 10,
        "nominal_rate": pytest.approx(0.36),
        "realised_rate": pytest.approx(0.36, abs=0.01),
        "open_set_rate": 0.0,
        "seed": 0,
    }

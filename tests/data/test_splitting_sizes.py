"""Splits with other sizes: stratified clean sets, validation from the noisy set, given sets, and reused splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vri_pyro.data import Arrays, Flip, NoNoise, Split, UniformExclusive, make_split
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.utils.errors import UserError

few = settings(max_examples=40, deadline=None, derandomize=True)


def _arrays(counts: list[int], **changes: Any) -> Arrays:
    labels = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
    names = tuple(f"class {number}" for number in range(len(counts)))
    return Arrays(x, labels, x[:1], labels[:1], names, **changes)


def _split(arrays: Arrays, noise: Any = NoNoise(), **sizes: Any) -> Split:
    options = {"clean_per_class": 2, "validation_per_class": 2, "noisy_size": None, "seed": 0}
    return make_split(arrays, noise, **(options | sizes))


@given(
    counts=st.lists(st.integers(5, 60), min_size=2, max_size=6),
    share=st.floats(0.1, 0.7),
    held_out=st.integers(0, 1),
    seed=st.integers(0, 99),
)
@few
def test_stratified_clean_sets_have_the_classes_in_proportion(
    counts: list[int], share: float, held_out: int, seed: int
) -> None:
    size = max(1, int(share * sum(counts)))
    exact = size * np.array(counts) / sum(counts)
    assume((np.floor(exact) > 0).all() and (np.ceil(exact) + held_out <= counts).all())
    split = _split(_arrays(counts), clean_size=size, validation_per_class=held_out, seed=seed)
    found = np.bincount(split.clean_labels, minlength=len(counts))
    assert found.sum() == size
    assert (np.abs(found - exact) < 1).all()
    assert len(np.intersect1d(split.clean_indices, split.noisy_indices)) == 0


def test_a_larger_stratified_set_holds_the_smaller_and_validation_stays() -> None:
    small, large = (_split(_arrays([40, 20]), clean_size=size) for size in (6, 15))
    assert set(small.clean_indices) <= set(large.clean_indices)
    np.testing.assert_array_equal(small.validation_indices, large.validation_indices)


def test_validation_from_the_noisy_part_keeps_given_labels() -> None:
    arrays = _arrays([300, 300, 300])
    split = _split(arrays, UniformExclusive(0.6), validation_per_class=50, validation_from="noisy")
    np.testing.assert_array_equal(np.bincount(split.validation_labels), [50, 50, 50])
    truth = arrays.y_train[split.validation_indices]
    wrong = (split.validation_labels != truth).mean()
    assert abs(wrong - 0.6) < 4.5 * np.sqrt(0.24 / 150)
    assert len(split.noisy_indices) == 900 - 6 - 150
    split.check_fits(arrays)
    whole = _split(arrays, UniformExclusive(0.6), validation_per_class=0)
    kept = np.isin(whole.noisy_indices, split.noisy_indices)
    np.testing.assert_array_equal(whole.given_labels[kept], split.given_labels)


def test_validation_from_the_noisy_part_survives_saving(tmp_path: Path) -> None:
    split = _split(_arrays([30, 30]), Flip(0.4), validation_from="noisy")
    split.save(tmp_path / "split.npz")
    assert Split.load(tmp_path / "split.npz").validation_from == "noisy"


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    _split(_arrays([30, 30]), Flip(0.4)).save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as pack:
        older = {name: pack[name] for name in pack.files if name != "validation_from"}
    np.savez(tmp_path / "older.npz", **older)
    assert Split.load(tmp_path / "older.npz").validation_from == "clean"


def test_given_validation_examples_are_taken_whole() -> None:
    arrays = _arrays([30, 30], clean_indices=np.arange(10, 40), validation_indices=np.array([3, 50, 51]))
    split = _split(arrays, clean_per_class=4)
    assert split.validation_indices.tolist() == [3, 50, 51]
    assert len(split.clean_indices) == 8
    assert len(split.noisy_indices) == 60 - 30 - 3


@pytest.mark.parametrize("noise", [Flip(0.4), NoNoise()])
def test_another_runs_split_is_taken_as_it_is(noise: Any, tmp_path: Path) -> None:
    arrays, path = _arrays([30, 30]), tmp_path / "split.npz"
    made = _split(arrays, noise, seed=5)
    made.save(path)
    again = SplitSizes(clean_per_class=9, file=path).split(arrays, UniformExclusive(0.9), seed=77)
    np.testing.assert_array_equal(again.given_labels, made.given_labels)
    np.testing.assert_array_equal(again.clean_indices, made.clean_indices)
    assert again.noise == repr(noise)


def test_another_datas_split_is_refused(tmp_path: Path) -> None:
    _split(_arrays([30, 30])).save(tmp_path / "split.npz")
    with pytest.raises(UserError, match="60 training examples but the data have 50"):
        SplitSizes(file=tmp_path / "split.npz").split(_arrays([30, 20]), NoNoise(), seed=0)
    labels = _arrays([30, 30])
    with pytest.raises(UserError, match="60 labels of the data have changed since the split was drawn"):
        SplitSizes(file=tmp_path / "split.npz").split(replace(labels, y_train=1 - labels.y_train), NoNoise(), seed=0)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: _split(_arrays([30, 30]), clean_size=0), "clean_size is 0"),
        (lambda: _split(_arrays([30, 30]), clean_size=57), "clean_size is 57 but only 56 trusted examples are left"),
        (lambda: _split(_arrays([30, 30]), validation_from="test"), "validation_from is 'test'"),
        (
            lambda: _split(_arrays([30, 30]), validation_from="noisy", validation_per_class=28),
            "uses all examples and leaves none for the noisy set",
        ),
        (lambda: _arrays([5, 5], validation_indices=np.array([1])), "without clean_indices"),
        (
            lambda: _arrays([5, 5], clean_indices=np.array([1, 2]), validation_indices=np.array([2])),
            "share 1 examples, the first at index 2",
        ),
    ],
)
def test_impossible_sizes_are_named(make: Callable[[], Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make()

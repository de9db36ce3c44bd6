"""Noisy examples that are kept out of training: how they are drawn, checked, saved and corrected."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import Arrays, Flip, Split, make_split
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.runs.held_out import held_out_parts
from vri_pyro.utils.errors import UserError, UserTypeError


def _arrays(count: int = 300) -> Arrays:
    labels = np.arange(count) % 3
    x = np.arange(2 * count, dtype=np.float32).reshape(-1, 2)
    return Arrays(x, labels, x[:3], labels[:3], ("a", "b", "c"))


def _split(share: float = 0.1, **sizes: Any) -> Split:
    options = {"clean_per_class": 2, "validation_per_class": 2, "noisy_size": None, "seed": 0}
    return make_split(_arrays(), Flip(0.4), noisy_holdout=share, **(options | sizes))


def _equal(one: Split, other: Split) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Split)
        if field.name != "noisy_holdout" and getattr(one, field.name) is not None
    )


@pytest.mark.parametrize("validation_from", ["clean", "noisy"])
def test_all_other_parts_and_labels_are_the_same_for_any_share(validation_from: str) -> None:
    without, some, more = (_split(share, validation_from=validation_from) for share in (0.0, 0.05, 0.3))
    assert len(without.noisy_holdout) == 0
    assert without.noisy_training_indices is without.noisy_indices
    assert _equal(without, some)
    assert _equal(without, more)
    assert set(some.noisy_holdout) < set(more.noisy_holdout)


def test_share_is_rounded_up_and_a_part_of_the_noisy_set() -> None:
    split = _split(0.1)
    assert len(split.noisy_holdout) == 29  # of 288
    assert set(split.noisy_holdout) < set(split.noisy_indices)
    assert (np.diff(split.noisy_holdout) > 0).all()
    assert np.array_equal(split.noisy_training_indices, np.setdiff1d(split.noisy_indices, split.noisy_holdout))
    assert np.array_equal(split.noisy_draws, split.noisy_training_indices)
    assert len(_split(0.001).noisy_holdout) == 1
    assert split.summary()["noisy_holdout"] == 29
    assert "noisy_holdout" not in _split(0.0).summary()


def test_examples_are_drawn_whatever_their_labels() -> None:
    wrong = [
        (split.given_labels != split.true_labels)[np.isin(split.noisy_indices, split.noisy_holdout)].mean()
        for split in (_split(0.2, seed=seed) for seed in range(30))
    ]
    assert np.mean(wrong) == pytest.approx(0.4, abs=3 * (0.24 / (30 * 58)) ** 0.5)


@pytest.mark.parametrize("share", [-0.1, 1, 1.0, 2, float("nan"), float("inf")])
def test_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(
        UserError, match=r"noisy_holdout is .*expected a (finite )?value in \[0, 1\), such as 0\.05, or 0 for none"
    ):
        _split(share)


def test_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserTypeError, match=r"noisy_holdout is .*expected a number"):
        _split("some")  # type: ignore[arg-type]


def test_share_that_leaves_no_example_is_refused() -> None:
    with pytest.raises(UserError, match=r"noisy_holdout 0\.9 keeps all 4 noisy examples out of training; reduce it"):
        _split(0.9, noisy_size=4)
    with pytest.raises(UserError, match=r"noisy_holdout 0\.01 keeps all 1 noisy examples out of training"):
        _split(0.01, noisy_size=1)


def test_split_without_an_example_to_train_on_and_strangers_are_refused() -> None:
    split = _split()
    with pytest.raises(UserError, match="noisy_holdout has all noisy examples and leaves none to train on"):
        replace(split, noisy_holdout=split.noisy_indices)
    with pytest.raises(UserError, match=r"example \d+ of noisy_holdout is not in the noisy set"):
        replace(split, noisy_holdout=split.clean_indices[:1])


def test_split_files_keep_them_and_older_files_have_none(tmp_path: Path) -> None:
    split = _split()
    split.save(tmp_path / "split.npz")
    assert np.array_equal(Split.load(tmp_path / "split.npz").noisy_holdout, split.noisy_holdout)
    reused = SplitSizes(file=tmp_path / "split.npz", noisy_holdout=0.5).split(_arrays(), None, 1)
    assert np.array_equal(reused.noisy_holdout, split.noisy_holdout)
    with np.load(tmp_path / "split.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file.files if name != "noisy_holdout"})
    assert len(Split.load(tmp_path / "old.npz").noisy_holdout) == 0


def test_reviewed_examples_are_trained_on_and_the_holdout_is_drawn_anew() -> None:
    split = _split()
    reviewed = np.r_[split.noisy_holdout[:2], split.noisy_training_indices[:2]]
    corrected = split.corrected(reviewed, np.array([0, 1, 2, 0]))
    assert set(corrected.noisy_holdout) < set(corrected.noisy_indices)
    assert len(corrected.noisy_holdout) == 29  # of 284
    assert set(reviewed) <= set(corrected.noisy_draws)
    assert not set(corrected.noisy_draws) & set(corrected.noisy_holdout)
    assert len(_split(0.0).corrected(reviewed, np.array([0, 1, 2, 0])).noisy_holdout) == 0


def test_holdout_is_a_random_sample_of_what_a_review_of_wrong_labels_leaves() -> None:
    split = _split()
    assert split.true_labels is not None
    wrong = split.given_labels != split.true_labels
    found = split.noisy_indices[wrong & np.isin(split.noisy_indices, split.noisy_holdout)]  # they are easily seen
    corrected = split.corrected(found, split.true_labels[np.isin(split.noisy_indices, found)])
    assert corrected.true_labels is not None
    wrong = corrected.given_labels != corrected.true_labels
    kept_out = np.isin(corrected.noisy_indices, corrected.noisy_holdout)
    error = 3 * np.sqrt(wrong.mean() * (1 - wrong.mean()) / kept_out.sum())
    assert wrong[kept_out].mean() == pytest.approx(wrong.mean(), abs=error)
    assert wrong[kept_out].any()  # of those that remained, none was wrong


def test_a_holdout_that_would_leave_none_to_train_on_becomes_smaller() -> None:
    split = _split()
    trained = split.noisy_training_indices
    labels = np.zeros(len(trained), dtype=int)
    assert len(split.corrected(trained, labels).noisy_training_indices) > 0
    assert (
        len(
            split.corrected(
                np.r_[trained, split.noisy_holdout[1:]], np.zeros(len(split.noisy_indices) - 1, dtype=int)
            ).noisy_holdout
        )
        == 0
    )
    assert len(split.without(trained).noisy_holdout) == 0


def test_removed_duplicates_leave_them_as_well() -> None:
    split = _split()
    assert np.array_equal(split.without(split.noisy_holdout[:3]).noisy_holdout, split.noisy_holdout[3:])


def test_parts_for_choosing_a_network_do_not_have_them() -> None:
    split = _split()
    for part in held_out_parts(split):
        assert not np.isin(split.noisy_holdout, np.r_[part.noisy_indices, part.validation_indices]).any()
        assert len(part.noisy_indices) + len(part.validation_indices) == len(split.noisy_training_indices)

"""Unverified labels are not treated as true labels, and a changed list of images is detected."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import Arrays, Flip, NoNoise, NpzFile, Split, make_split
from vri_pyro.data.image_files import ImageFiles
from vri_pyro.utils.errors import UserError


def _split(arrays: Arrays, noise: Any = NoNoise(), clean: int | None = 2) -> Split:
    return make_split(arrays, noise, clean, 2, None, seed=0)


def test_true_labels_of_unverified_data_are_unknown(arrays_of: Callable[..., Arrays], tmp_path: Path) -> None:
    split = _split(replace(arrays_of(3, 20), verified=False))
    assert split.true_labels is None
    assert split.noise == "observed"
    assert math.isnan(split.realised_rate)
    assert math.isnan(split.nominal_rate)
    assert split.transition is None
    assert split.caveat is not None
    split.save(tmp_path / "split.npz")
    assert not Split.load(tmp_path / "split.npz").verified


def test_labels_of_a_benchmark_are_the_truth(arrays_of: Callable[..., Arrays]) -> None:
    split = _split(arrays_of(3, 20))
    assert split.true_labels is not None
    assert split.realised_rate == 0
    assert split.caveat is None


def test_trusted_part_and_truth_are_verified_whatever_the_rest(arrays_of: Callable[..., Arrays]) -> None:
    trusted = _split(replace(arrays_of(3, 20, clean_indices=np.arange(30)), verified=False), clean=None)
    assert trusted.caveat is None
    plain = replace(arrays_of(3, 20), verified=False)
    known = _split(replace(plain, y_train_clean=(plain.y_train + 1) % 3))
    assert known.caveat is None
    assert known.realised_rate == 1


def test_noise_injected_into_unverified_labels_warns(arrays_of: Callable[..., Arrays]) -> None:
    with pytest.warns(UserWarning, match="injected into unverified labels; use NoNoise"):
        split = _split(replace(arrays_of(3, 20), verified=False), Flip(0.5))
    assert split.true_labels is not None
    assert split.caveat is not None


def test_arrays_in_a_file_are_unverified_unless_called_verified(tmp_path: Path) -> None:
    labels = np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=np.eye(40), y_train=labels, x_test=np.eye(40), y_test=labels)
    assert _split(NpzFile(tmp_path / "own.npz", verified=True).load()).realised_rate == 0
    with pytest.warns(UserWarning, match="own.npz has no verified labels"):
        assert _split(NpzFile(tmp_path / "own.npz").load()).true_labels is None


def _listed(root: Path, names: list[str]) -> Arrays:
    labels = np.arange(len(names)) % 2
    return Arrays(ImageFiles(root, names, 8), labels, ImageFiles(root, names[:2], 8), labels[:2], ("a", "b"))


def test_split_is_of_the_list_that_it_was_made_from(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    split = _split(_listed(tmp_path, names))
    split.save(tmp_path / "split.npz")
    again = Split.load(tmp_path / "split.npz")
    again.check_fits(_listed(tmp_path / "moved as a whole", names))
    for other in ([*names[2:4], *names[:2], *names[4:]], [*names[:-1], "renamed.png"]):
        with pytest.raises(UserError, match="a different list of training images: an image was added, moved, renamed"):
            again.check_fits(_listed(tmp_path, other))


def test_split_saved_without_a_listing_still_fits(tmp_path: Path) -> None:
    arrays = _listed(tmp_path, [f"{number}.png" for number in range(20)])
    replace(_split(arrays), listing=None).check_fits(arrays)

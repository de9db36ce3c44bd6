"""Identical inputs in several parts of the data are found, told, refused or removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vri_pyro.data import Arrays, NoNoise, Split, make_split
from vri_pyro.data.content_keys import content_keys
from vri_pyro.data.duplicates import Duplicates, find_duplicates, without_duplicates
from vri_pyro.data.hashes import row_hashes
from vri_pyro.data.image_files import ImageFiles
from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError

CLASSES = ("a", "b", "c")


def arrays_with(x: np.ndarray, x_test: np.ndarray | None = None, **changes: Any) -> Arrays:
    """Examples with cyclic labels, of which the first 30, or 6 of a small set, are trusted."""
    y_test = None if x_test is None else np.arange(len(x_test)) % 3
    values = {"clean_indices": np.arange(30 if len(x) > 20 else 6), "y_train": np.arange(len(x)) % 3} | changes
    return Arrays(x_train=x, x_test=x_test, y_test=y_test, classes=CLASSES, **values)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)


def split_of(arrays: Arrays) -> Split:
    return make_split(arrays, NoNoise(), None, 1 if len(arrays.y_train) == 20 else 2, None, 0)


def found_in(arrays: Arrays) -> Duplicates:
    return find_duplicates(arrays, split_of(arrays), content_keys(arrays))


def pairs(found: Duplicates) -> dict[str, set[tuple[int, int]]]:
    return {
        f"{one.first} in {one.second}": set(zip(one.members.tolist(), one.partners.tolist(), strict=True))
        for one in found.overlaps
    }


def test_equal_values_have_equal_hashes_and_others_do_not() -> None:
    x = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [0.0, np.float32(1.0000001)]], dtype=np.float32)
    first, second, swapped, near = row_hashes(x)
    assert first == second
    assert len({first, swapped, near}) == 3


def test_hashes_are_the_same_in_every_version() -> None:
    """A run keeps them, so a change of the function would make every run's data look changed."""
    assert row_hashes(np.array([[0, 1, 2]], dtype=np.uint8)).tolist() == [3937448342795221480]
    assert row_hashes(np.array([[0.5, -1]], dtype=np.float32)).tolist() == [14764595726732011258]


def test_hashes_do_not_depend_on_the_layout_in_memory(x: np.ndarray) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5000, 4, 4, 1), dtype=np.uint8)
    assert row_hashes(np.asfortranarray(x)).tolist() == row_hashes(x).tolist()
    assert row_hashes(images[::2]).tolist() == row_hashes(images)[::2].tolist()
    assert len(np.unique(row_hashes(images))) == 5000


def test_independent_examples_have_no_duplicates(x: np.ndarray) -> None:
    found = found_in(arrays_with(x[:200], x[200:]))
    assert (found.overlaps, found.contradictions, found.repeated, found.leaked) == ((), {}, 0.0, None)


def test_every_pair_of_parts_is_compared(x: np.ndarray) -> None:
    train, test = x[:200].copy(), x[200:].copy()
    split = split_of(arrays_with(train, test))
    noisy, clean, validation = (
        part.tolist() for part in (split.noisy_indices, split.clean_indices, split.validation_indices)
    )
    test[:3] = train[[noisy[0], clean[0], validation[0]]]
    train[noisy[1]], train[noisy[2]], train[clean[1]] = train[validation[1]], train[clean[2]], train[validation[2]]
    assert pairs(found_in(arrays_with(train, test))) == {
        "test in noisy": {(0, noisy[0])},
        "test in clean": {(1, clean[0])},
        "test in validation": {(2, validation[0])},
        "validation in noisy": {(validation[1], noisy[1])},
        "validation in clean": {(validation[2], clean[1])},
        "clean in noisy": {(clean[2], noisy[2])},
    }


def test_planted_duplicates_are_found_exactly(x: np.ndarray) -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        train, test = x[:200].copy(), x[200:].copy()
        members = generator.choice(100, generator.integers(1, 40), replace=False)
        partners = generator.choice(split_of(arrays_with(train)).noisy_indices, len(members), replace=False)
        test[members] = train[partners]
        expected = set(zip(members.tolist(), partners.tolist(), strict=True))
        assert pairs(found_in(arrays_with(train, test))) == {"test in noisy": expected}


def test_contradictory_labels_of_identical_inputs_are_counted(x: np.ndarray) -> None:
    x[100], x[101], x[150], x[153] = x[50], x[50], x[60], x[60]  # labels 2, 1, 2 and 0, 0, 0
    found = found_in(arrays_with(x))
    assert {part: those.tolist() for part, those in found.contradictions.items()} == {"noisy": [50, 100, 101]}
    assert found.told_contradictions() == [
        "3 noisy examples are identical to another one with a different label "
        "(training example 50, training example 100, training example 101)"
    ]


@pytest.mark.parametrize("count", [60, 54])
def test_test_set_taken_from_the_training_set_is_a_leak(x: np.ndarray, count: int) -> None:
    test = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    test[:count] = x[100 : 100 + count]
    leaked = found_in(arrays_with(x, test)).leaked
    assert leaked is not None
    assert len(leaked.members) == count


def test_part_of_the_test_set_in_training_is_told_but_no_leak(x: np.ndarray) -> None:
    test = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    test[:20] = x[100:120]
    found = found_in(arrays_with(x, test))
    assert found.leaked is None
    (overlap,) = found.overlaps
    assert overlap.beyond_chance
    assert found.told(overlap) == (
        "20 of 60 test examples are also in the noisy set, 20 of them with another label (test example 0 is training "
        "example 100, test example 1 is training example 101, test example 2 is training example 102, …)"
    )


@pytest.mark.parametrize("columns", [1, 3, 6])
def test_tables_with_few_distinct_rows_are_no_leak(columns: int) -> None:
    """In a table of yes and no answers, almost every row of a new sample occurs in the old one."""
    for seed in range(30):
        rows = np.random.default_rng(seed).integers(0, 2, (700, columns)).astype(np.float32)
        found = found_in(arrays_with(rows[:500], rows[500:]))
        assert found.repeated > 0.9
        assert found.leaked is None
        assert not any(one.beyond_chance for one in found.overlaps if one.first == "test")


def test_images_that_are_often_black_are_no_leak(x: np.ndarray) -> None:
    for seed in range(30):
        generator = np.random.default_rng(seed)
        images = generator.integers(0, 256, (3000, 4, 4), dtype=np.uint8)
        images[generator.random(3000) < 0.02] = 0
        found = found_in(arrays_with(images[:2000], images[2000:]))
        assert found.leaked is None
        assert not any(one.beyond_chance for one in found.overlaps if one.first == "test")


def test_removal_keeps_the_parts_on_which_the_run_is_evaluated(x: np.ndarray) -> None:
    train, test = x[:200].copy(), x[200:].copy()
    split = split_of(arrays_with(train, test))
    noisy, clean, validation = split.noisy_indices, split.clean_indices, split.validation_indices
    test[0], test[1] = train[noisy[0]], train[validation[0]]
    train[noisy[1]], train[noisy[2]], train[clean[1]] = train[validation[1]], train[clean[2]], train[validation[2]]
    train[noisy[4]] = train[noisy[3]]  # stays: both are noisy
    arrays = arrays_with(train, test)
    kept = without_duplicates(split, content_keys(arrays))
    assert set(noisy) - set(kept.noisy_indices) == set(noisy[:3])
    assert set(clean) - set(kept.clean_indices) == {clean[1]}
    assert set(validation) - set(kept.validation_indices) == {validation[0]}
    assert find_duplicates(arrays, kept, content_keys(arrays)).overlaps == ()


def test_image_is_found_in_another_format(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(20):
        image = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image.save(tmp_path / f"{number}.png", compress_level=1)
        if number == 7:
            image.save(tmp_path / "copy.bmp")
            image.save(tmp_path / "smaller.png", compress_level=9, pnginfo=_comment("another"))
    images = ImageFiles(tmp_path, [f"{number}.png" for number in range(20)], 8)
    arrays = replace(arrays_with(np.zeros((20, 1), np.float32)), x_train=images)
    arrays = replace(arrays, x_test=ImageFiles(tmp_path, ["copy.bmp", "smaller.png"], 8), y_test=np.array([1, 0]))
    found = find_duplicates(arrays, split_of(arrays), content_keys(arrays))
    assert pairs(found) == {"test in noisy": {(0, 7), (1, 7)}}


def _comment(text: str) -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", text)
    return info


def test_many_copied_image_files_are_found_by_their_bytes_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vri_pyro.data.content_keys._FEW", 21)
    generator = np.random.default_rng(0)
    for number in range(20):
        image = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.bmp")  # all files have the same size
    (tmp_path / "copy.bmp").write_bytes((tmp_path / "7.bmp").read_bytes())
    images = ImageFiles(tmp_path, [f"{number}.bmp" for number in range(20)], 8)
    arrays = replace(arrays_with(np.zeros((20, 1), np.float32)), x_train=images)
    arrays = replace(arrays, x_test=ImageFiles(tmp_path, ["copy.bmp", "19.bmp"], 8), y_test=np.array([1, 0]))
    monkeypatch.setattr(ImageFiles, "read", lambda *_: pytest.fail("an image was decoded"))
    found = find_duplicates(arrays, split_of(arrays), content_keys(arrays))
    assert pairs(found) == {"test in noisy": {(0, 7), (1, 19)}}
    assert "(copy.bmp is 7.bmp, 19.bmp is 19.bmp)" in found.told(found.overlaps[0])


def test_files_of_different_sizes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vri_pyro.data.content_keys._SMALL", 2000)
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(bytes(100 + number))
    images = ImageFiles(tmp_path, [f"{number}.jpg" for number in range(20)], 8)
    arrays = replace(arrays_with(np.zeros((20, 1), np.float32)), x_train=images)
    monkeypatch.setattr("vri_pyro.data.content_keys._content_key", lambda *_: pytest.fail("a file was read"))
    assert len(np.unique(content_keys(arrays).train)) == 20


def test_streamed_images_without_files_are_compared_by_their_pixels(x: np.ndarray) -> None:
    class Items(Streamed):
        def read(self, index: int) -> np.ndarray:
            if index == 3:
                raise UserError("damaged")
            return np.full((2, 2, 3), index % 18, dtype=np.uint8)

        def name(self, index: int) -> str:
            return f"item {index}"

    arrays = replace(arrays_with(np.zeros((20, 1), np.float32)), x_train=Items(20, (2, 2, 3)))
    keys = content_keys(arrays).train
    assert (keys[0], keys[1]) == (keys[18], keys[19])
    assert len(np.unique(keys)) == 18

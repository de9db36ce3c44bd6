"""Open-set noise: exact counts, replacement images, and examples of no class in splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vri_pyro.data import (
    Arrays,
    Compose,
    EvidentialMix,
    Flip,
    HumanLabels,
    InstanceDependent,
    NoisyLabels,
    NoNoise,
    NpzFile,
    OpenSet,
    PairFlip,
    Split,
    Streamed,
    UniformExclusive,
    generator_for,
    inject,
    make_split,
)
from vri_pyro.data.noise import instance_dependent
from vri_pyro.utils.errors import UserError

few = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COUNT, CLASSES = 400, 4
# Words in Tiny-ImageNet's class names that match classes of CIFAR-10.
CIFAR10_CLASSES = (
    *("cat", "dog", "retriever", "terrier", "chihuahua", "poodle", "frog", "bullfrog", "goose", "stork", "penguin"),
    *("albatross", "gazelle", "car", "wagon", "convertible", "limousine", "van", "gondola", "lifeboat"),
)


def _images(count: int, value: int | None = None, shape: tuple[int, ...] = (5, 5)) -> np.ndarray:
    """Constant grey images; the grey value is the index of the image, or ``value``."""
    numbers = np.arange(count) % 200 if value is None else np.full(count, value)
    return np.broadcast_to(numbers.reshape(-1, *(1 for _ in shape)), (count, *shape)).astype(np.uint8)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """An .npz file with 300 images of three classes, brighter than all images of the data."""
    path = tmp_path / "foreign.npz"
    names = np.array(["tabby, tabby cat", "catamaran", "sports car, sport car"])
    np.savez(path, x=_images(300) // 4 + 205, y=np.arange(300) % 3, names=names)
    return path


@pytest.fixture
def arrays() -> Arrays:
    labels = np.arange(COUNT) % CLASSES
    return Arrays(_images(COUNT), labels, _images(40), labels[:40], tuple("abcd"))


def _apply(recipe: Any, arrays: Arrays, seed: int = 0) -> NoisyLabels:
    return recipe.apply(arrays.y_train, arrays.x_train, arrays.num_classes, generator_for(seed, "noise"))


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (0.29, 116), (0.4, 160), (1.0, 400)])
def test_exactly_the_rate_is_replaced_and_labels_stay(arrays: Arrays, foreign: Path, rate: float, count: int) -> None:
    made = _apply(OpenSet(foreign, rate), arrays)
    assert made.replaced is not None
    assert len(made.replaced.positions) == len(made.replaced.images) == count
    np.testing.assert_array_equal(made.labels, arrays.y_train)
    assert (made.true_labels[made.replaced.positions] == -1).all()
    assert (np.delete(made.true_labels, made.replaced.positions) >= 0).all()
    assert made.open_set_rate == made.rate == pytest.approx(count / COUNT)
    assert made.nominal_rate == pytest.approx(count / COUNT)
    assert (made.replaced.images >= 205).all()


@given(
    rate=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    num_classes=st.integers(2, 12),
    count=st.integers(1, 700),
    seed=st.integers(0, 1000),
)
@few
def test_counts_are_exact_for_any_size(foreign: Path, rate: float, num_classes: int, count: int, seed: int) -> None:
    labels = np.arange(count) % num_classes
    made = OpenSet(foreign, rate).apply(labels, _images(count)[..., None], num_classes, generator_for(seed))
    assert made.replaced is not None
    assert len(np.unique(made.replaced.positions)) == len(made.replaced.images) == int(rate * count + 1e-9)
    np.testing.assert_array_equal(np.flatnonzero(made.true_labels == -1), made.replaced.positions)
    np.testing.assert_array_equal(made.labels, labels)
    known = made.realised_transition[~np.isnan(made.realised_transition).any(axis=1)]
    assert set(known.sum(axis=1)) <= {1.0}
    assert made.nominal_rate == pytest.approx(made.rate)


def test_images_come_once_while_they_last_and_evenly_after(arrays: Arrays, foreign: Path) -> None:
    with np.load(foreign) as pack:
        images = pack["x"].copy()
    images[:, 0, 0] = np.arange(300) % 256
    images[:, 0, 1] = np.arange(300) // 256
    np.savez(foreign, x=images)

    def uses(rate: float) -> np.ndarray:
        replaced = _apply(OpenSet(foreign, rate), arrays).replaced
        assert replaced is not None
        numbers = replaced.images[:, 0, 0, 0].astype(int) + 256 * replaced.images[:, 0, 1, 0].astype(int)
        return np.bincount(numbers, minlength=300)

    assert uses(0.75).tolist() == [1] * 300
    assert uses(0.5).max() == 1
    assert set(uses(1.0)) == {1, 2}


def test_all_examples_are_equally_likely_to_be_replaced(arrays: Arrays, foreign: Path) -> None:
    times = np.zeros(COUNT)
    for seed in range(300):
        replaced = _apply(OpenSet(foreign, 0.25), arrays, seed).replaced
        assert replaced is not None
        times[replaced.positions] += 1
    assert np.abs(times - 75).max() < 4.5 * np.sqrt(300 * 0.25 * 0.75)


@pytest.mark.parametrize("words", [("cat", "Car"), ("tabby, tabby cat", "sports car")])
def test_classes_are_excluded_by_whole_words_or_names(arrays: Arrays, foreign: Path, words: tuple[str, ...]) -> None:
    replaced = _apply(OpenSet(foreign, 0.5, exclude=words), arrays).replaced
    assert replaced is not None
    with np.load(foreign) as pack:
        boats = {image.tobytes() for image in pack["x"][pack["y"] == 1][..., None]}
    assert {image.tobytes() for image in replaced.images} <= boats


def test_classes_are_excluded_by_the_other_keys_and_by_number(arrays: Arrays, tmp_path: Path) -> None:
    images = np.concatenate([_images(20, 201), _images(20, 202)])
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.repeat([0, 1], 20), classes=np.array(["3", "13"]))
    replaced = _apply(OpenSet(tmp_path / "x.npz", 0.5, exclude=("3",)), arrays).replaced
    assert replaced is not None
    assert (replaced.images == 202).all()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"y": np.zeros(20, dtype=np.int64)}, "y in .*foreign.npz has 20 labels for 300 examples"),
        ({"y": np.full(300, 3)}, r"y in .*foreign.npz\[0\] is 3; labels are 0 to 2"),
        ({"y": np.zeros(300)}, "y in .*foreign.npz has dtype float64"),
        ({"names": np.array("tabby cat")}, r"class names in .*foreign.npz have shape \(\)"),
        ({"names": None}, "lacks classes"),
    ],
)
def test_invalid_labels_or_class_names_are_refused(
    arrays: Arrays, foreign: Path, changes: dict[str, Any], complaint: str
) -> None:
    with np.load(foreign) as pack:
        contents = dict(pack) | changes
    np.savez(foreign, **{name: array for name, array in contents.items() if array is not None})
    with pytest.raises(UserError, match=complaint):
        _apply(OpenSet(foreign, 0.1, ("cat",)), arrays)


@given(rate=st.floats(0, 1), share=st.floats(0, 1), seed=st.integers(0, 1000))
@few
def test_evidential_mix_has_exact_counts(arrays: Arrays, foreign: Path, rate: float, share: float, seed: int) -> None:
    made = _apply(EvidentialMix(foreign, rate, share), arrays, seed)
    assert made.replaced is not None
    opened = int(rate * share * COUNT + 1e-9)
    assert len(made.replaced.positions) == opened
    # Redrawn labels can be right by chance, so the number of wrong labels is only bounded.
    assert opened <= made.flipped.sum() <= int(rate * COUNT + 1e-9)
    assert made.open_set_rate == pytest.approx(opened / COUNT)
    np.testing.assert_allclose(made.transition.sum(1), 1.0)
    assert (np.delete(made.labels, np.flatnonzero(made.flipped)) >= 0).all()


def test_evidential_mix_redraws_from_all_classes(foreign: Path) -> None:
    count = 8000
    labels = np.zeros(count, dtype=np.int64)
    made = EvidentialMix(foreign, 0.6, 0.5).apply(labels, _images(count)[..., None], 4, generator_for(0))
    closed = np.bincount(made.labels[made.true_labels == 0], minlength=4)
    assert closed.sum() == 5600
    for wrong in closed[1:]:
        assert abs(wrong - 600) < 4.5 * np.sqrt(2400 * 0.25 * 0.75)
    assert made.nominal_rate == pytest.approx(0.3 + 0.3 * 0.75)


def test_closed_set_noise_acts_on_the_examples_left(arrays: Arrays, foreign: Path) -> None:
    made = _apply(Compose((OpenSet(foreign, 0.25), PairFlip(1.0))), arrays)
    inside = made.true_labels >= 0
    assert (~inside).sum() == 100
    np.testing.assert_array_equal(made.labels[~inside], arrays.y_train[~inside])
    np.testing.assert_array_equal(made.labels[inside], (arrays.y_train[inside] + 1) % CLASSES)
    np.testing.assert_allclose(made.transition, np.roll(np.eye(CLASSES), 1, axis=1))
    assert made.rate == made.nominal_rate == 1.0


@pytest.mark.parametrize("second", [UniformExclusive(0.5), InstanceDependent(0.5)])
def test_later_noise_is_skipped_when_no_example_is_left(arrays: Arrays, foreign: Path, second: Any) -> None:
    made = _apply(Compose((OpenSet(foreign, 1.0), second)), arrays)
    np.testing.assert_array_equal(made.labels, arrays.y_train)
    assert made.open_set_rate == made.nominal_rate == 1.0


def test_human_labels_after_another_recipe_are_refused(foreign: Path) -> None:
    message = "HumanLabels after another recipe, whose labels it would overwrite; put HumanLabels first"
    with pytest.raises(UserError, match=message):
        Compose((OpenSet(foreign, 0.5), HumanLabels("human.npy")))


def test_two_replacements_meet_no_example_twice(arrays: Arrays, foreign: Path) -> None:
    made = _apply(Compose((OpenSet(foreign, 0.5), OpenSet(foreign, 0.5))), arrays)
    assert made.replaced is not None
    assert len(np.unique(made.replaced.positions)) == len(made.replaced.positions) == 300


@pytest.mark.parametrize(
    ("recipe", "digest"),
    [
        (lambda path: OpenSet(path, 0.3), "d95fffc0e7601de5"),
        (lambda path: EvidentialMix(path, 0.5, 0.4), "b477de0e28dfb141"),
        (lambda path: Compose((OpenSet(path, 0.2), UniformExclusive(0.3))), "951164273409dbd3"),
    ],
    ids=["OpenSet", "EvidentialMix", "Compose"],
)
def test_results_are_those_on_record(arrays: Arrays, foreign: Path, recipe: Callable[[Path], Any], digest: str) -> None:
    made = _apply(recipe(foreign), arrays, seed=7)
    assert made.replaced is not None
    record = [made.labels.astype("<i8"), made.true_labels.astype("<i8"), made.replaced.images]
    assert hashlib.sha256(b"".join(part.tobytes() for part in record)).hexdigest()[:16] == digest


def test_a_split_carries_the_images_and_is_whole_without_the_file(
    arrays: Arrays, foreign: Path, tmp_path: Path
) -> None:
    split = make_split(arrays, OpenSet(foreign, 0.4), 10, 5, None, seed=2)
    split.save(tmp_path / "split.npz")
    foreign.unlink()
    loaded = Split.load(tmp_path / "split.npz")
    loaded.check_fits(arrays)
    assert loaded.open_set_rate == pytest.approx(0.4)
    seen = np.asarray(loaded.inputs(arrays.x_train))
    assert loaded.replaced_indices is not None
    np.testing.assert_array_equal(seen[loaded.replaced_indices], split.replaced_images)
    others = np.setdiff1d(np.arange(COUNT), loaded.replaced_indices)
    np.testing.assert_array_equal(seen[others], np.asarray(arrays.x_train)[others])
    assert np.isin(loaded.replaced_indices, loaded.noisy_indices).all()
    assert np.asarray(arrays.x_train).max() < 205


def test_inputs_without_replacements_are_not_copied(arrays: Arrays, foreign: Path) -> None:
    assert make_split(arrays, Flip(0.4), 10, 5, None, 0).inputs(arrays.x_train) is arrays.x_train
    assert make_split(arrays, OpenSet(foreign, 0.0), 10, 5, None, 0).inputs(arrays.x_train) is arrays.x_train


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"replaced_images": None}, "Only one of replaced_indices and replaced_images is given"),
        ({"replaced_images": _images(3)}, "3 replaced_images for 140 replaced_indices"),
        ({"true_labels": None}, "true label of a replaced example is not -1; set it to -1"),
        ({"true_labels": np.zeros(340, dtype=np.int64)}, "true label of a replaced example is not -1; set it to -1"),
        ({"replaced_images": _images(140).astype(np.int32)}, "replaced_images has dtype int32"),
        ({"replaced_indices": "clean_indices"}, "is not in the noisy set"),
        ({"replaced_indices": "validation_indices"}, "is not in the noisy set"),
        ({"validation_from": "test"}, "validation_from is 'test'"),
    ],
)
def test_a_tampered_file_is_refused(
    arrays: Arrays, foreign: Path, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    split, path = make_split(arrays, OpenSet(foreign, 140 / 340), 10, 5, None, seed=2), tmp_path / "split.npz"
    split.save(path)
    with np.load(path) as pack:
        contents = dict(pack)
    if part := changes.get("replaced_indices"):
        changes = {"replaced_indices": np.r_[getattr(split, part)[:1], contents["replaced_indices"][1:]]}
    contents |= changes
    np.savez(path, **{name: array for name, array in contents.items() if array is not None})
    with pytest.raises(UserError, match=complaint):
        Split.load(path)


def test_split_that_does_not_fit_the_data_is_refused(arrays: Arrays, foreign: Path) -> None:
    split = make_split(arrays, OpenSet(foreign, 0.4), 10, 5, None, seed=2)
    assert split.replaced_images is not None
    with pytest.raises(UserError, match="replaced_images is float32 but x_train is uint8"):
        replace(split, replaced_images=split.replaced_images.astype(np.float32)).check_fits(arrays)
    with pytest.raises(UserError, match=r"replaced_images has examples of shape \(5, 4, 1\)"):
        replace(split, replaced_images=split.replaced_images[:, :, 1:]).check_fits(arrays)
    with pytest.raises(UserError, match="true_labels differ from the labels of the data"):
        replace(split, true_labels=np.full(len(split.noisy_indices), -1)).check_fits(arrays)


def test_replaced_examples_may_be_held_out_of_the_noisy_part(arrays: Arrays, foreign: Path, tmp_path: Path) -> None:
    make_split(arrays, OpenSet(foreign, 0.6), 5, 20, None, 0, validation_from="noisy").save(tmp_path / "split.npz")
    split = Split.load(tmp_path / "split.npz")
    split.check_fits(arrays)
    assert split.replaced_indices is not None
    assert len(split.replaced_indices) == 0.6 * 380
    assert np.isin(split.validation_indices, split.replaced_indices).any()
    seen = np.asarray(split.inputs(arrays.x_train))
    assert (seen[split.replaced_indices] >= 205).all()


def test_source_with_examples_of_no_class_is_split() -> None:
    count = 3000
    labels = np.where(np.arange(count) % 5 == 4, -1, np.arange(count) % 5)
    arrays = Arrays(_images(count), labels, _images(4), np.arange(4), tuple("abcd"), open_set=True)
    split = make_split(arrays, UniformExclusive(0.5), 10, 10, None, seed=1)
    assert (split.clean_labels >= 0).all()
    assert (split.validation_labels >= 0).all()
    assert split.true_labels is not None
    outside = split.true_labels == -1
    assert outside.sum() == 600
    assert split.nominal_rate == pytest.approx((600 + 0.5 * (len(outside) - 600)) / len(outside))
    counts = np.bincount(split.given_labels[outside], minlength=4)
    assert np.abs(counts - 150).max() < 4.5 * np.sqrt(600 * 0.25 * 0.75)
    assert "uniform labels for examples of no class" in split.noise
    split.check_fits(arrays)
    # The recipe alone gives the same labels to the examples with a class.
    inside = split.noisy_indices[~outside]
    alone = UniformExclusive(0.5).apply(labels[inside], arrays.x_train, 4, generator_for(1, "noise"))
    np.testing.assert_array_equal(split.given_labels[~outside], alone.labels)


def test_observed_labels_may_be_those_of_examples_of_no_class() -> None:
    truth = np.where(np.arange(100) % 5 == 0, -1, np.arange(100) % 2)
    arrays = Arrays(_images(100), np.arange(100) % 2, _images(2), np.arange(2), ("a", "b"), truth, open_set=True)
    split = make_split(arrays, NoNoise(), 5, 5, None, seed=0)
    assert split.open_set_rate == split.realised_rate == 0.25
    assert (split.clean_labels >= 0).all()
    split.check_fits(arrays)


def test_no_class_cannot_be_a_training_label() -> None:
    labels = np.where(np.arange(100) % 5 == 0, -1, np.arange(100) % 2)
    images = _images(100), _images(2)
    arrays = Arrays(images[0], labels, images[1], np.arange(2), ("a", "b"), clean_indices=np.arange(40), open_set=True)
    with pytest.raises(UserError, match=r"y_train contains -1 \(examples of no class\)"):
        make_split(arrays, NoNoise(), 5, 5, None, seed=0)
    with pytest.warns(UserWarning, match="injected into unverified labels"):
        assert make_split(arrays, PairFlip(0.5), 5, 5, None, seed=0).open_set_rate == 0.2


def test_open_set_noise_on_a_source_with_examples_of_no_class_keeps_positions(foreign: Path) -> None:
    labels = np.where(np.arange(100) % 2 == 1, -1, 0)
    arrays = Arrays(_images(100), labels, _images(4), np.zeros(4, int), ("a", "b"), open_set=True)
    made = inject(OpenSet(foreign, 0.5), arrays, np.arange(10, 90), seed=0)
    assert made.replaced is not None
    assert len(made.replaced.positions) == 20
    assert (np.arange(10, 90)[made.replaced.positions] % 2 == 0).all()


def test_human_labels_are_aligned_beside_examples_of_no_class(tmp_path: Path) -> None:
    labels = np.where(np.arange(20) % 2 == 1, -1, 0)
    arrays = Arrays(_images(20), labels, _images(4), np.zeros(4, int), ("a", "b"), open_set=True)
    np.save(tmp_path / "human.npy", np.arange(20) // 10)
    made = inject(HumanLabels(tmp_path / "human.npy"), arrays, np.arange(20), seed=0)
    assert made.labels[::2].tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path, arrays: OpenSet(path, 1.2), "OpenSet got rate 1.2"),
        (lambda path, arrays: EvidentialMix(path, 0.2, -1), r"EvidentialMix \(share\) got rate -1"),
        (lambda path, arrays: _apply(OpenSet("nowhere.npz", 0.1), arrays), "no .npz file nowhere.npz; expected one"),
        (lambda path, arrays: _apply(OpenSet(path, 0.1, ("dog",)), arrays), "No class name in .* contains 'dog'"),
        (
            lambda path, arrays: _apply(OpenSet(path, 0.1, ("cat", "catamaran", "car")), arrays),
            "leaves no image of",
        ),
    ],
)
def test_invalid_arguments_are_refused(
    arrays: Arrays, foreign: Path, make: Callable[[Path, Arrays], Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        make(foreign, arrays)


@pytest.mark.parametrize("shape", [(6, 6), (5, 5, 3)])
def test_images_of_another_shape_are_refused_with_both(arrays: Arrays, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "other.npz", x_train=_images(10, shape=shape))
    with pytest.raises(UserError, match=r"are uint8 \[\d, \d, \d\] but the images of the data are uint8 \[5, 5, 1\]"):
        _apply(OpenSet(tmp_path / "other.npz", 0.1), arrays)


class InMemory(Streamed):
    """Streamed images that record the largest number of images read at once."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(len(images), images.shape[1:])
        self.images = images
        self.largest = 0

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        images = super().__getitem__(which)
        self.largest = max(self.largest, len(images))
        return images

    def read(self, index: int) -> np.ndarray:
        return self.images[index]

    def name(self, index: int) -> str:
        return str(index)


def test_streamed_images_are_not_replaced(arrays: Arrays, foreign: Path) -> None:
    streamed = InMemory(np.asarray(arrays.x_train))
    with pytest.raises(UserError, match="cannot replace inputs on disk"):
        OpenSet(foreign, 0.1).apply(arrays.y_train, streamed, CLASSES, generator_for(0))


def test_instance_dependent_noise_reads_streamed_images(arrays: Arrays) -> None:
    streamed = InMemory(np.asarray(arrays.x_train))
    of_streamed = InstanceDependent(0.4).apply(arrays.y_train, streamed, CLASSES, generator_for(0))
    in_memory = InstanceDependent(0.4).apply(arrays.y_train, arrays.x_train, CLASSES, generator_for(0))
    np.testing.assert_array_equal(of_streamed.labels, in_memory.labels)


def test_instance_dependent_noise_reads_few_images_at_a_time(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, streamed = InstanceDependent(0.4, scaling="raw"), InMemory(np.asarray(arrays.x_train))
    in_memory = recipe.apply(arrays.y_train, arrays.x_train, CLASSES, generator_for(0))
    monkeypatch.setattr(instance_dependent, "_CHUNK_VALUES", 7 * 25)
    np.testing.assert_array_equal(
        recipe.apply(arrays.y_train, streamed, CLASSES, generator_for(0)).labels, in_memory.labels
    )
    assert streamed.largest == 7


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "other", "exclude"),
    [("fashion_mnist", "mnist_ood", ()), ("cifar10", "tinyimagenet32_ood", CIFAR10_CLASSES)],
)
@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_real_images_are_replaced(
    unpacked: Callable[[str], Path], name: str, other: str, exclude: tuple[str, ...], rate: float
) -> None:
    arrays = NpzFile(unpacked(name), verified=True).load()
    split = make_split(arrays, OpenSet(unpacked(other), rate, exclude), 100, 100, 5000, seed=0)
    assert split.open_set_rate == split.realised_rate == rate
    seen = np.asarray(split.inputs(arrays.x_train))
    changed = (seen != np.asarray(arrays.x_train)).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(split.replaced_indices))  # type: ignore[type-var]


def test_no_example_with_a_class_is_an_error() -> None:
    arrays = Arrays(_images(10), np.full(10, -1), _images(4), np.zeros(4, int), ("a", "b"), open_set=True)
    with pytest.raises(UserError, match="No example of the noisy set belongs to a class"):
        inject(NoNoise(), arrays, np.arange(10), seed=0)

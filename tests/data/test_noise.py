"""Label noise: rates, transition matrices, stable results, and the contract of every recipe."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import (
    AsymmetricCIFAR10,
    ClassConditionalNoise,
    Compose,
    Flip,
    Flip2,
    HierarchicalCIFAR100,
    InstanceDependent,
    LabelNoise,
    NoisyLabels,
    NoNoise,
    PairFlip,
    TransitionMatrix,
    UniformExclusive,
    UniformInclusive,
    generator_for,
)
from vri_pyro.utils.errors import UserError

CLASS_COUNTS = {
    UniformInclusive: st.integers(2, 12),
    UniformExclusive: st.integers(2, 12),
    Flip: st.integers(2, 12),
    Flip2: st.integers(3, 12),
    PairFlip: st.integers(2, 12),
    AsymmetricCIFAR10: st.just(10),
    HierarchicalCIFAR100: st.just(100),
    InstanceDependent: st.integers(2, 12),
}
RATED = list(CLASS_COUNTS)
RATES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))

few = settings(max_examples=25, deadline=None, derandomize=True)


def _apply(noise: LabelNoise, num_classes: int, per_class: int, seed: int) -> NoisyLabels:
    labels = np.arange(num_classes * per_class) % num_classes
    features = np.random.default_rng(0).integers(0, 256, (len(labels), 2, 2, 1), dtype=np.uint8)
    return noise.apply(labels, features, num_classes, generator_for(seed, "noise"))


@pytest.mark.parametrize("recipe", RATED)
@given(data=st.data(), rate=RATES, seed=st.integers(0, 2**32))
@few
def test_realised_matrix_lies_within_binomial_bounds_of_the_nominal(
    recipe: type[Flip], data: st.DataObject, rate: float, seed: int
) -> None:
    num_classes = data.draw(CLASS_COUNTS[recipe])
    per_class = 6000 // num_classes
    noisy = _apply(recipe(rate), num_classes, per_class, seed)
    # Six standard deviations, plus an allowance of 1.5 counts where the normal approximation is too tight.
    spread = np.sqrt(noisy.transition * (1 - noisy.transition) / per_class)
    assert (np.abs(noisy.realised_transition - noisy.transition) <= 6 * spread + 1.5 / per_class).all()


@pytest.mark.parametrize("recipe", RATED)
@given(data=st.data(), rate=RATES, per_class=st.integers(1, 20), seed=st.integers(0, 2**32))
@few
def test_recipe_keeps_the_contract(
    recipe: type[Flip], data: st.DataObject, rate: float, per_class: int, seed: int
) -> None:
    num_classes = data.draw(CLASS_COUNTS[recipe])
    noisy = _apply(recipe(rate), num_classes, per_class, seed)
    assert noisy.labels.dtype == np.int64
    assert noisy.labels.min() >= 0
    assert noisy.labels.max() < num_classes
    np.testing.assert_allclose(noisy.transition.sum(axis=1), 1.0, rtol=1e-12)
    assert np.array_equal(noisy.flipped, noisy.labels != noisy.true_labels)
    assert noisy.rate == pytest.approx(noisy.flipped.mean())
    assert np.array_equal(noisy.true_labels, np.arange(num_classes * per_class) % num_classes)
    assert np.array_equal(noisy.labels, _apply(recipe(rate), num_classes, per_class, seed).labels)
    assert (noisy.transition[noisy.true_labels, noisy.labels] > 0).all()


@given(num_classes=st.integers(2, 30), rate=RATES)
@few
def test_inclusive_noise_gets_fewer_labels_wrong_than_its_rate(num_classes: int, rate: float) -> None:
    inclusive = _apply(UniformInclusive(rate), num_classes, 2, 0)
    exclusive = _apply(UniformExclusive(rate), num_classes, 2, 0)
    assert inclusive.nominal_rate == pytest.approx(rate * (1 - 1 / num_classes))
    assert exclusive.nominal_rate == pytest.approx(rate)


@given(num_classes=st.integers(2, 30), seed=st.integers(0, 2**32))
@few
def test_flip_gives_every_class_one_other(num_classes: int, seed: int) -> None:
    noisy = _apply(Flip(0.4), num_classes, 2, seed)
    assert ((noisy.transition > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(noisy.transition.diagonal(), 0.6)


def test_flip_map_differs_between_seeds_and_reaches_every_other_class() -> None:
    targets = {int(_apply(Flip(1.0), 4, 1, seed).labels[1]) for seed in range(60)}
    assert targets == {0, 2, 3}


@given(num_classes=st.integers(3, 30), seed=st.integers(0, 2**32))
@few
def test_flip2_gives_every_class_two_others(num_classes: int, seed: int) -> None:
    transition = _apply(Flip2(0.4), num_classes, 2, seed).transition
    np.testing.assert_allclose(np.sort(transition, axis=1)[:, -3:], [[0.2, 0.2, 0.6]] * num_classes)
    np.testing.assert_allclose(transition.diagonal(), 0.6)


def test_flip2_reaches_every_pair_of_others() -> None:
    pairs = {tuple(np.flatnonzero(_apply(Flip2(1.0), 4, 1, seed).transition[1])) for seed in range(60)}
    assert pairs == {(0, 2), (0, 3), (2, 3)}


def test_pair_flip_moves_to_the_next_class() -> None:
    noisy = _apply(PairFlip(1.0), 5, 10, 0)
    assert np.array_equal(noisy.labels, (noisy.true_labels + 1) % 5)


def _fixed_at_the_ends(rate: float) -> list[tuple[LabelNoise, int]]:
    return [
        (UniformExclusive(rate), 7),
        (Flip(rate), 7),
        (Flip2(rate), 7),
        (PairFlip(rate), 7),
        (HierarchicalCIFAR100(rate), 100),
        (InstanceDependent(rate, std=0.0), 7),
        (Compose((PairFlip(rate), NoNoise())), 7),
    ]


@pytest.mark.parametrize(
    ("noise", "num_classes"),
    [(NoNoise(), 7), (UniformInclusive(0.0), 7), (AsymmetricCIFAR10(0.0), 10), *_fixed_at_the_ends(0.0)],
)
def test_rate_zero_changes_nothing(noise: LabelNoise, num_classes: int) -> None:
    noisy = _apply(noise, num_classes, 100, 3)
    assert noisy.rate == noisy.nominal_rate == 0.0


@pytest.mark.parametrize(("noise", "num_classes"), _fixed_at_the_ends(1.0))
def test_rate_one_changes_every_label(noise: LabelNoise, num_classes: int) -> None:
    noisy = _apply(noise, num_classes, 100, 3)
    assert noisy.rate == noisy.nominal_rate == 1.0


@pytest.mark.parametrize(
    ("noise", "num_classes", "digest"),
    [
        (UniformInclusive(0.4), 10, "5e7845a354ad90776ad325ce422cb7906882a0dc2bf2b8e1b30288b8a8b18081"),
        (UniformExclusive(0.4), 10, "3ba3c86648a59dcb6133d79b5a632e66f93c5547e257cefd436d2870eab00273"),
        (Flip(0.4), 10, "c2c837404fea10e04a2220cee952a2be181ee26cc04898db83494d44b2c524ea"),
        (Flip2(0.4), 10, "21ea18b4b80caa18334d630fd3cdd6668196375f3a7a7f4e39e1a45b4afa2a39"),
        (PairFlip(0.4), 10, "6dc3ac3b16f249882da7dd13fb0059679cb2db865d6820b869cb2a50df0afa31"),
        (AsymmetricCIFAR10(0.4), 10, "0e67945fc8a319bb5740f643e46c01aacb91afac05e7174c82a85489743dbb19"),
        (HierarchicalCIFAR100(0.4), 100, "90e4a3aea590bd65b04755c4ae0886a60987c403538d9f501d9f9378c456bc0b"),
        (
            TransitionMatrix([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]),
            3,
            "0f775b941026bef64f503551065efeda4bafa96c505bfe792776143c750c4d16",
        ),
        (InstanceDependent(0.4), 10, "125080de9717b8bbdddc72359effff05aeb26ae592059063de1b932a25246061"),
        (InstanceDependent(0.4, "raw"), 10, "3ef03d8f3423bcc352e3284447eaea83605b2f320d7a5770520ffbfee8375bcf"),
        (
            Compose((Flip(0.2), UniformExclusive(0.2))),
            10,
            "abc6b9e8c612b751a6735614e5d381317634ea62b06a4618ed61b18f09d85091",
        ),
    ],
)
def test_labels_of_a_seed_are_those_on_record(noise: LabelNoise, num_classes: int, digest: str) -> None:
    labels = _apply(noise, num_classes, 500, 11).labels
    assert hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest() == digest


def test_class_without_examples_has_no_realised_row() -> None:
    noisy = NoisyLabels(np.array([0, 1]), np.array([0, 0]), np.eye(3))
    assert noisy.realised_transition[0].tolist() == [0.5, 0.5, 0.0]
    assert np.isnan(noisy.realised_transition[1:]).all()


def test_users_own_matrix_is_a_subclass_of_three_lines() -> None:
    class Cyclic(ClassConditionalNoise):
        def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
            return np.roll(np.eye(num_classes), 1, axis=1)

    noisy = _apply(Cyclic(), 5, 3, 0)
    assert np.array_equal(noisy.labels, (noisy.true_labels + 1) % 5)
    assert repr(Cyclic()) == "Cyclic()"


@pytest.mark.parametrize("recipe", RATED)
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rate_that_is_no_probability_is_refused(recipe: type[Flip], rate: float) -> None:
    with pytest.raises(UserError, match=f"{recipe.__name__} got rate {rate}; expected a probability from 0 to 1"):
        recipe(rate)


@pytest.mark.parametrize("recipe", RATED)
def test_single_class_cannot_be_corrupted(recipe: type[Flip]) -> None:
    with pytest.raises(UserError, match="got 1 classes; label noise needs at least two"):
        _apply(recipe(0.4), 1, 10, 0)


@pytest.mark.parametrize(
    ("noise", "num_classes", "message"),
    [
        (Flip2(0.4), 2, r"Flip2\(rate=0.4\) got 2 classes; expected at least three"),
        (AsymmetricCIFAR10(0.4), 7, "got 7 classes; expected the 10 classes of CIFAR-10"),
        (HierarchicalCIFAR100(0.4), 20, "got 20 classes; expected the 100 classes of CIFAR-100"),
    ],
)
def test_wrong_number_of_classes_is_refused(noise: LabelNoise, num_classes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _apply(noise, num_classes, 10, 0)


def test_part_of_the_training_set_gets_the_recipe_itself() -> None:
    noise = Flip(0.4)
    assert noise.for_part(np.arange(3), 10) is noise

"""Label noise: its rates, its matrices, its stability; and the contract that every recipe keeps."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import (
    ClassConditionalNoise,
    Flip,
    LabelNoise,
    NoisyLabels,
    NoNoise,
    UniformExclusive,
    UniformInclusive,
    generator_for,
)
from vri_pyro.errors import UserError

RATED = [UniformInclusive, UniformExclusive, Flip]
RATES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))

few = settings(max_examples=25, deadline=None, derandomize=True)


def _apply(noise: LabelNoise, num_classes: int, per_class: int, seed: int) -> NoisyLabels:
    labels = np.arange(num_classes * per_class) % num_classes
    features = np.zeros((len(labels), 1), dtype=np.float32)
    return noise.apply(labels, features, num_classes, generator_for(seed, "noise"))


@pytest.mark.parametrize("recipe", RATED)
@given(num_classes=st.integers(2, 12), rate=RATES, seed=st.integers(0, 2**32))
@few
def test_realised_matrix_lies_within_binomial_bounds_of_the_nominal(
    recipe: type[Flip], num_classes: int, rate: float, seed: int
) -> None:
    per_class = 500
    noisy = _apply(recipe(rate), num_classes, per_class, seed)
    # Six standard deviations, and one count for the corners where the normal bound is too tight.
    spread = np.sqrt(noisy.transition * (1 - noisy.transition) / per_class)
    assert (np.abs(noisy.realised_transition - noisy.transition) <= 6 * spread + 1.5 / per_class).all()


@pytest.mark.parametrize("recipe", RATED)
@given(num_classes=st.integers(2, 12), rate=RATES, seed=st.integers(0, 2**32))
@few
def test_recipe_keeps_the_contract(recipe: type[Flip], num_classes: int, rate: float, seed: int) -> None:
    noisy = _apply(recipe(rate), num_classes, 20, seed)
    assert noisy.labels.dtype == np.int64
    assert noisy.labels.min() >= 0
    assert noisy.labels.max() < num_classes
    np.testing.assert_allclose(noisy.transition.sum(axis=1), 1.0, rtol=1e-12)
    assert np.array_equal(noisy.flipped, noisy.labels != noisy.true_labels)
    assert noisy.rate == pytest.approx(noisy.flipped.mean())
    assert np.array_equal(noisy.labels, _apply(recipe(rate), num_classes, 20, seed).labels)
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


@pytest.mark.parametrize("noise", [NoNoise(), UniformInclusive(0.0), UniformExclusive(0.0), Flip(0.0)])
def test_rate_zero_changes_nothing(noise: LabelNoise) -> None:
    noisy = _apply(noise, 7, 100, 3)
    assert noisy.rate == noisy.nominal_rate == 0.0


@pytest.mark.parametrize("noise", [UniformExclusive(1.0), Flip(1.0)])
def test_rate_one_changes_every_label(noise: LabelNoise) -> None:
    noisy = _apply(noise, 7, 100, 3)
    assert noisy.rate == noisy.nominal_rate == 1.0


@pytest.mark.parametrize(
    ("noise", "digest"),
    [
        (UniformInclusive(0.4), "5e7845a354ad90776ad325ce422cb7906882a0dc2bf2b8e1b30288b8a8b18081"),
        (UniformExclusive(0.4), "3ba3c86648a59dcb6133d79b5a632e66f93c5547e257cefd436d2870eab00273"),
        (Flip(0.4), "c2c837404fea10e04a2220cee952a2be181ee26cc04898db83494d44b2c524ea"),
    ],
)
def test_labels_of_a_seed_are_those_on_record(noise: LabelNoise, digest: str) -> None:
    labels = _apply(noise, 10, 500, 11).labels
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
    with pytest.raises(UserError, match=f"{recipe.__name__} got rate {rate}; give a probability from 0 to 1"):
        recipe(rate)


@pytest.mark.parametrize("recipe", RATED)
def test_single_class_cannot_be_corrupted(recipe: type[Flip]) -> None:
    with pytest.raises(UserError, match="got 1 classes; label noise needs at least two"):
        _apply(recipe(0.4), 1, 10, 0)

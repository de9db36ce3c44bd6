"""Composed noise: order of recipes, transition matrix, nesting and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import (
    Compose,
    Flip,
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


def _apply(noise: LabelNoise, num_classes: int = 5, per_class: int = 1000, seed: int = 0) -> NoisyLabels:
    labels = np.arange(num_classes * per_class) % num_classes
    features = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
    return noise.apply(labels, features, num_classes, generator_for(seed, "noise"))


@given(
    recipes=st.lists(
        st.builds(
            lambda recipe, rate: recipe(rate), st.sampled_from([Flip, PairFlip, UniformInclusive]), st.floats(0, 1)
        ),
        min_size=1,
        max_size=3,
    ),
    num_classes=st.integers(2, 8),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_labels_follow_the_product_of_the_matrices(recipes: list[LabelNoise], num_classes: int, seed: int) -> None:
    noisy = _apply(Compose(tuple(recipes)), num_classes, 1000, seed)
    np.testing.assert_allclose(noisy.transition.sum(axis=1), 1.0, rtol=1e-12)
    spread = np.sqrt(np.clip(noisy.transition * (1 - noisy.transition), 0, None) / 1000)
    assert (np.abs(noisy.realised_transition - noisy.transition) <= 6 * spread + 0.0015).all()


def test_recipes_are_applied_in_their_order() -> None:
    everything_to_zero = TransitionMatrix(np.eye(5)[[0, 0, 0, 0, 0]])
    assert set(_apply(Compose((everything_to_zero, PairFlip(1.0)))).labels) == {1}
    assert set(_apply(Compose((PairFlip(1.0), everything_to_zero))).labels) == {0}


def test_wrong_labels_are_those_that_differ_from_the_first_ones() -> None:
    noisy = _apply(Compose((PairFlip(1.0),) * 5))
    assert noisy.rate == noisy.nominal_rate == 0.0


def test_composition_of_one_recipe_equals_the_recipe() -> None:
    assert np.array_equal(_apply(Compose((Flip(0.4),))).labels, _apply(Flip(0.4)).labels)


def test_matrix_after_instance_dependent_noise_is_the_product() -> None:
    alone = _apply(InstanceDependent(0.3))
    noisy = _apply(Compose((InstanceDependent(0.3), PairFlip(0.2))))
    np.testing.assert_allclose(noisy.transition, alone.transition @ _apply(PairFlip(0.2)).transition)


def test_matrix_of_instance_dependent_noise_after_another_is_the_realised_one() -> None:
    noisy = _apply(Compose((PairFlip(0.2), InstanceDependent(0.3))))
    np.testing.assert_allclose(noisy.transition, noisy.realised_transition)


def test_nested_composition_is_flattened() -> None:
    nested = Compose((Flip(0.1), Compose((PairFlip(0.2), NoNoise()))))
    assert nested == Compose((Flip(0.1), PairFlip(0.2), NoNoise()))
    assert repr(nested) == "Compose(recipes=(Flip(rate=0.1), PairFlip(rate=0.2), NoNoise()))"


def test_composition_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="Compose got no recipes; expected at least one"):
        Compose(())


def test_recipe_within_a_composition_keeps_its_own_errors() -> None:
    with pytest.raises(UserError, match="got 1 classes"):
        _apply(Compose((UniformExclusive(0.2),)), num_classes=1)

"""Closed-set noise at common rates on real Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import (
    Arrays,
    AsymmetricCIFAR10,
    Compose,
    Flip,
    Flip2,
    InstanceDependent,
    NpzFile,
    PairFlip,
    TransitionMatrix,
    UniformExclusive,
    UniformInclusive,
    make_split,
)
from vri_pyro.data.noise.transition_counts import count_transitions

pytestmark = pytest.mark.shared_data
NOISY = 20_000
NOISES: dict[str, Callable[[float], Any]] = {
    "uniform inclusive": UniformInclusive,
    "uniform exclusive": UniformExclusive,
    "flip": Flip,
    "flip2": Flip2,
    "pairflip": PairFlip,
    "asymmetric": AsymmetricCIFAR10,
    "instance-dependent": InstanceDependent,
    "matrix": lambda rate: TransitionMatrix((1 - rate) * np.eye(10) + rate * np.full((10, 10), 0.1)),
    "composed": lambda rate: Compose((PairFlip(rate / 2), UniformExclusive(rate / 2))),
}


@pytest.fixture(scope="module", params=["fashion_mnist", "cifar10"])
def arrays(request: pytest.FixtureRequest, unpacked: Callable[[str], Path]) -> Arrays:
    return NpzFile(unpacked(request.param), verified=True).load()


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("name", NOISES)
def test_the_realised_matrix_is_the_nominal_one_within_chance(arrays: Arrays, name: str, rate: float) -> None:
    split = make_split(arrays, NOISES[name](rate), 100, 100, NOISY, seed=3)
    assert split.true_labels is not None
    assert split.transition is not None
    counts = count_transitions(split.true_labels, split.given_labels, 10)
    expected = counts.sum(1, keepdims=True) * split.transition
    # Five standard deviations of the binomial, because there are a hundred cells.
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected * (1 - split.transition)) + 1e-9).all()
    assert abs(split.realised_rate - split.nominal_rate) < 5 * np.sqrt(0.25 / NOISY)
    parts = [split.noisy_indices, split.clean_indices, split.validation_indices]
    assert len(np.unique(np.concatenate(parts))) == NOISY + 1000 + 1000
    np.testing.assert_array_equal(split.clean_labels, arrays.y_train[split.clean_indices])

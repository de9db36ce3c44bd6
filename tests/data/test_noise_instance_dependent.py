"""Instance-dependent noise: flip rates, the linear classifier, scaling, and independence of the chunk size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import InstanceDependent, NoisyLabels, categorical, generator_for
from vri_pyro.data.noise import instance_dependent
from vri_pyro.data.noise.normal import standard_normal, truncated_normal
from vri_pyro.utils.errors import UserError

IMAGES = np.random.default_rng(1).integers(0, 256, (600, 4, 4, 3), dtype=np.uint8)
LABELS = np.arange(600) % 5


def _apply(noise: InstanceDependent, features: np.ndarray = IMAGES, seed: int = 0) -> NoisyLabels:
    return noise.apply(LABELS, features, 5, generator_for(seed, "noise"))


@pytest.mark.parametrize("scaling", ["standardised", "raw"])
def test_labels_and_matrix_follow_the_papers_formula_example_by_example(scaling: Any) -> None:
    noisy = _apply(InstanceDependent(0.4, scaling))
    x = IMAGES.astype(np.float64)
    if scaling == "standardised":
        x = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    generator = generator_for(0, "noise")
    q = truncated_normal(generator, 600, 0.4, 0.1)
    for label in range(5):
        weights = standard_normal(generator, (48, 5))
        rows = []
        for i in np.flatnonzero(label == LABELS):
            a = x[i].reshape(-1) @ weights
            a[label] = -np.inf
            softmax = np.exp(a - a.max()) / np.exp(a - a.max()).sum()
            rows.append(q[i] * softmax + (1 - q[i]) * np.eye(5)[label])
        np.testing.assert_allclose(noisy.transition[label], np.mean(rows, axis=0), rtol=1e-4, atol=1e-6)
        assert np.array_equal(noisy.labels[label == LABELS], categorical(generator, np.array(rows)))


def test_raw_pixels_saturate_and_standardised_ones_do_not() -> None:
    bright = IMAGES // 8 + 200
    largest = {}
    for scaling in ("standardised", "raw"):
        wrong = _apply(InstanceDependent(0.4, scaling), bright).transition * (1 - np.eye(5))  # type: ignore[arg-type]
        largest[scaling] = (wrong.max(axis=1) / wrong.sum(axis=1)).mean()
    assert largest["raw"] > 0.95
    assert largest["standardised"] < 0.5


def test_labels_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _apply(InstanceDependent(0.4))
    monkeypatch.setattr(instance_dependent, "_CHUNK_VALUES", 7 * 48)
    chunked = _apply(InstanceDependent(0.4))
    assert np.array_equal(whole.labels, chunked.labels)
    np.testing.assert_allclose(whole.transition, chunked.transition, rtol=1e-9)


def test_standardised_labels_do_not_depend_on_the_features_units() -> None:
    vectors = np.random.default_rng(2).normal(size=(600, 8)).astype(np.float32)
    first, second = (_apply(InstanceDependent(0.4), vectors * scale + 4 * (scale - 1)) for scale in (1, 2))
    assert (first.labels == second.labels).mean() > 0.99


def test_constant_features_leave_every_wrong_class_alike() -> None:
    noisy = _apply(InstanceDependent(0.4, std=0.0), np.full((600, 3), 7.0, dtype=np.float32))
    np.testing.assert_allclose(noisy.transition, 0.1 + 0.5 * np.eye(5))


def test_class_without_examples_gets_the_identitys_row_and_moves_no_other() -> None:
    present = np.flatnonzero(LABELS != 2)
    noisy = InstanceDependent(0.4, "raw").apply(LABELS[present], IMAGES[present], 5, generator_for(0, "noise"))
    assert noisy.transition[2].tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_allclose(noisy.transition.sum(axis=1), 1.0)


@given(rate=st.floats(0.0, 1.0), std=st.floats(0.0, 2.0), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_flip_rates_are_probabilities(rate: float, std: float, seed: int) -> None:
    rates = truncated_normal(generator_for(seed, "noise"), 100, rate, std)
    assert ((rates >= 0) & (rates <= 1)).all()


@pytest.mark.parametrize(("rate", "mean"), [(0.0, 0.0798), (0.4, 0.4), (1.0, 0.9202)])
def test_flip_rates_have_the_moments_of_the_truncated_normal(rate: float, mean: float) -> None:
    rates = truncated_normal(generator_for(0, "noise"), 100_000, rate, 0.1)
    assert rates.mean() == pytest.approx(mean, abs=0.002)
    assert rates.std() == pytest.approx(0.1 if rate == 0.4 else 0.1 * np.sqrt(1 - 2 / np.pi), abs=0.001)


def test_normals_are_standard_and_finite_at_a_double_of_zero() -> None:
    draws = standard_normal(generator_for(0, "noise"), (400, 250))
    assert draws.mean() == pytest.approx(0, abs=0.02)
    assert draws.std() == pytest.approx(1, abs=0.01)

    class Zeros:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.zeros(shape)

    assert np.isfinite(standard_normal(Zeros(), (3,))).all()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling": "pixels"}, "got scaling 'pixels'; expected one of standardised, raw"),
        ({"std": -0.1}, "got std -0.1; expected a finite number >= 0"),
        ({"std": float("nan")}, "got std nan"),
        ({"std": float("inf")}, "got std inf"),
    ],
)
def test_impossible_parameter_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        InstanceDependent(0.4, **arguments)

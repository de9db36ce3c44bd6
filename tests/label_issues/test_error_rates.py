"""Tests of the error rates that classes share: their prior, and updates that leave the posterior as it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logit
from test_two_observers import prior_rate

from vri_pyro.label_issues.error_rates import TIES, ErrorRates, Shared, noise_rates, scaled_rates


def test_density_of_the_noise_rate_is_half_below_a_tenth() -> None:
    density = noise_rates(3)._log_density
    ends = logit([1e-5, 0.1, 0.95])
    below, above = (quad(lambda t: float(np.exp(density(np.array(t)))), *pair)[0] for pair in itertools.pairwise(ends))
    assert below == pytest.approx(1, abs=1e-4)
    assert above == pytest.approx(1, abs=1e-4)
    drawn = [prior_rate(generator) for generator in [np.random.default_rng(0)] for _ in range(4000)]
    assert np.mean(np.array(drawn) < 0.1) == pytest.approx(0.5, abs=0.03)


def _simulated(prior: str, generator: np.random.Generator) -> tuple[ErrorRates, Shared, np.ndarray]:
    own = np.array([0.1, 0.3, 0.2, 0.4])
    if prior == "noise":
        return noise_rates(4), Shared(logit([prior_rate(generator)]), generator.choice(TIES, 1)), own
    return scaled_rates(own, 0.7), Shared(generator.normal(0, 0.7, 1), generator.choice(TIES, 1)), own


@pytest.mark.parametrize("prior", ["noise", "scaled"])
def test_updates_leave_the_posterior_invariant(prior: str) -> None:
    """Parameters and counts from the prior; after updates given the counts, the parameters still have the prior."""
    generator = np.random.default_rng(3)
    before, after = [], []
    for _ in range(3000):
        rates, shared, _ = _simulated(prior, generator)
        ahead, behind = rates.parameters(shared)
        wrong = generator.binomial(40, generator.beta(ahead, behind))
        new = shared
        for _ in range(3):
            new, drawn = rates.drawn(new, wrong, 40 - wrong, generator)
        for kept, one in ((before, shared), (after, new)):
            t, k = one.shift[0], np.log(one.ties[0])
            kept.append([t, t**2, k, k**2, t * k, t * wrong.mean(), k * wrong.std(), t * drawn.mean()])
    change = np.array(after) - np.array(before)
    assert np.abs(change.mean(0) / (change.std(0) / len(change) ** 0.5)).max() < 3.5


def test_many_examples_and_classes_do_not_hold_the_mean_where_it_was() -> None:
    """Started at 0.35, the mean reaches the share of errors, 0.3, though neighbours on a coarse grid are far away."""
    generator, rates = np.random.default_rng(0), noise_rates(60)
    shared = Shared(logit(np.full(20, 0.35)), np.full(20, 2000.0))
    total = np.full((20, 60), 300)
    counts = (0.35 * total).astype(int)
    for _ in range(200):
        shared, drawn = rates.drawn(shared, counts, total - counts, generator)
        # a third of the errors is known, and the others follow the rates, as when classes are drawn given the rates
        counts = 30 + generator.binomial(200, drawn)
    assert drawn.mean() == pytest.approx(0.3, abs=0.01)

"""How often the sampler sweeps between draws, and what an interval of its draws is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vri_pyro.label_issues import two_observers
from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.label_issues.two_observers import TwoObservers


def _observers(seed: int = 0, size: int = 90) -> TwoObservers:
    generator = np.random.default_rng(seed)
    decided = generator.integers(3, size=size)
    given = np.where(generator.random(size) < 0.3, (decided + 1) % 3, decided)
    return TwoObservers(decided, given, np.eye(3) + 1 / 3, 5 * np.eye(3), generator)


@pytest.mark.parametrize("follows", [True, False])
def test_first_draw_comes_after_many_sweeps_and_each_further_one_after_some(
    monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    """With two chains, ten draws are five of each."""
    before: list[int] = []
    followed: list[int] = []
    sweep, draw = TwoObservers._sweep, TwoObservers._followed
    count = 0

    def counting(self: TwoObservers, *args: object) -> object:
        nonlocal count
        count += 1
        return sweep(self, *args)  # type: ignore[arg-type]

    def noting(self: TwoObservers, chains: int, most: float) -> np.ndarray:
        followed.append(count)
        return draw(self, chains, most)

    monkeypatch.setattr(TwoObservers, "_sweep", counting)
    monkeypatch.setattr(TwoObservers, "_followed", noting)
    matrices, _ = _observers().sample(10, 2, follows)
    before.append(count)
    first, between = two_observers._SWEEPS, two_observers._BETWEEN
    assert first >= 50
    assert between >= 10
    assert before == [first + 4 * between]
    # How often labels are followed is drawn anew for every draw.
    assert followed == ([0, *range(first, first + 4 * between, between)] if follows else [])
    assert len(np.unique(matrices.reshape(10, -1), axis=0)) == 10


def test_interval_is_that_of_the_quantiles_low_end_first() -> None:
    torch.manual_seed(0)
    transition = torch.rand(500, 3, 3, dtype=torch.float64)
    rate = torch.rand(500, dtype=torch.float64)
    found = TransitionPosterior(transition, rate)
    for level in (0.95, 0.5):
        tails = (1 - level) / 2, (1 + level) / 2
        low, high = found.interval(level)
        expected = np.quantile(transition.numpy(), tails, axis=0)
        np.testing.assert_allclose(low, expected[0])
        np.testing.assert_allclose(high, expected[1])
        np.testing.assert_allclose(found.noise_rate_interval(level), np.quantile(rate.numpy(), tails))
    assert found.noise_rate_interval() == found.noise_rate_interval(0.95)

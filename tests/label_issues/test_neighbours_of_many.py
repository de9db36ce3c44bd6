"""Neighbours where there are too many examples to compare each with every other."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from vri_pyro.label_issues import Evidence, mean_over_nearest, smoothed
from vri_pyro.label_issues.beliefs import beliefs, consulted


def _pool(size: int, most: int, seed: int) -> set[int]:
    """Which of the examples are neighbours of any."""
    torch.manual_seed(0)
    weights = smoothed(torch.eye(size), torch.randn(size, 4), neighbours=most - 1, most=most, seed=seed)
    return set((weights > 0).any(0).nonzero().flatten().tolist())


def test_neighbours_are_looked_for_among_examples_drawn_by_the_seed() -> None:
    pools = [_pool(60, 20, seed) for seed in (0, 0, 1)]
    assert [len(pool) for pool in pools] == [20, 20, 20]
    assert pools[0] == pools[1] != pools[2]
    assert all(max(pool) >= 40 and min(pool) < 20 for pool in pools)  # not the first ones, and not the last


def test_seed_of_the_scores_is_that_of_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(smoothed, most=20)
    monkeypatch.setattr("vri_pyro.label_issues.beliefs.smoothed", few)
    features, given = torch.randn(60, 3), torch.zeros(60, dtype=torch.int64)
    evidence = Evidence(given, features, features, trained_on=False)
    found = [consulted(evidence, beliefs(evidence), 2, 0.0, seed).p for seed in (0, 1)]
    alone = features.double().softmax(-1)
    for seed in (0, 1):
        torch.testing.assert_close(found[seed], few(alone, features, 2, seed=seed))
    assert (found[0] - found[1]).abs().max() > 0.01


def test_length_of_a_feature_vector_does_not_matter() -> None:
    torch.manual_seed(1)
    features, p = torch.randn(40, 4), torch.rand(40, 3)
    scaled = features * torch.logspace(-2, 2, 40)[:, None]
    torch.testing.assert_close(smoothed(p, scaled, neighbours=3), smoothed(p, features, neighbours=3))
    torch.testing.assert_close(
        mean_over_nearest(scaled[:10], scaled[10:], p[10:], 3),
        mean_over_nearest(features[:10], features[10:], p[10:], 3),
    )

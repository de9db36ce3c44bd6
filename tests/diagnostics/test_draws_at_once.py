"""Tests that vectorised draws equal single draws, or raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from converted import converted
from pyro.infer.autoguide import AutoDelta, AutoLowRankMultivariateNormal, AutoMultivariateNormal, AutoNormal
from torch import Tensor

from vri_pyro.utils.errors import UserError

Y = torch.tensor([0.5, -1.0, 2.0])


def sum_over_all_axes(y: Tensor) -> None:
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1).to_event(1))
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(w.sum(), 0.5), obs=y)


def total_of_all_draws(y: Tensor) -> None:
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1).to_event(1))
    pyro.deterministic("total", w.sum())
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(0, 1), obs=y)


def as_many_draws_as_data(y: Tensor) -> None:
    z = pyro.sample("z", dist.Normal(0, 1))
    pyro.sample("y", dist.Normal(z, 1), obs=y)


def product_that_does_not_broadcast(y: Tensor) -> None:
    w = pyro.sample("w", dist.Normal(torch.zeros(2), 1).to_event(1))
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(torch.ones(len(y), 2) @ w, 0.5), obs=y)


MODELS = [sum_over_all_axes, total_of_all_draws, as_many_draws_as_data, product_that_does_not_broadcast]
NO_PREDICTIONS = ("posterior", "log_likelihood", "sample_stats", "prior")


@pytest.mark.parametrize("model", MODELS)
def test_pair_that_does_not_broadcast_raises(model: Callable[..., Any]) -> None:
    guide = AutoNormal(model, init_scale=1.0)
    converted(model, guide, Y, num_samples=6, groups=NO_PREDICTIONS)
    with pytest.raises(UserError, match=r"computed at once.*use chunk_size=1"):
        converted(model, guide, Y, num_samples=6, chunk_size=3, groups=NO_PREDICTIONS)


def broadcasting(y: Tensor) -> None:
    centre = pyro.sample("centre", dist.Normal(0, 1))
    w = pyro.sample("w", dist.Dirichlet(torch.ones(3)))
    pyro.deterministic("first", w[..., 0])
    with pyro.plate("row", len(y)):
        z = pyro.sample("z", dist.Normal(centre, 1))
        pyro.sample("y", dist.Normal(z, 1), obs=y)


@pytest.mark.parametrize("guide", [AutoNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal, AutoDelta])
def test_pair_that_broadcasts_passes(guide: Callable[..., Any]) -> None:
    tree = converted(broadcasting, guide(broadcasting), Y, num_samples=7, chunk_size=3)
    np.testing.assert_array_equal(tree.posterior["first"].values, tree.posterior.w.values[..., 0])
    by_hand = dist.Normal(torch.as_tensor(tree.posterior.z.values), 1).log_prob(Y).numpy()
    np.testing.assert_allclose(tree.log_likelihood.y.values, by_hand, rtol=1e-6)


def test_plate_with_only_deterministic_sites_is_supported() -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0, 1))
        with pyro.plate("row", len(y), dim=-1):
            pyro.sample("y", dist.Normal(mean, 1), obs=y)
        with pyro.plate("copy", 2, dim=-2):
            pyro.deterministic("double", 2 * mean)

    tree = converted(model, AutoNormal(model), Y, num_samples=4, chunk_size=2)
    np.testing.assert_allclose(tree.posterior.double.values.ravel(), 2 * tree.posterior["mean"].values.ravel())


def test_network_with_its_own_randomness_raises() -> None:
    network = torch.nn.Dropout(0.5)

    def model(y: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(20), 1).to_event(1))
        pyro.deterministic("kept", network(z), event_dim=1)

    guide = AutoNormal(model)
    with pytest.raises(UserError, match=r"'kept' differs between two runs with the same latents; call eval\(\)"):
        converted(model, guide, Y, num_samples=4, chunk_size=2)
    network.eval()
    assert converted(model, guide, Y, num_samples=4, chunk_size=2).posterior.kept.shape == (1, 4, 20)


def test_site_missing_in_some_draws_raises() -> None:
    def model(y: Tensor) -> None:
        pyro.sample("z", dist.Normal(0, 1))
        if torch.rand(()) < 0.5:
            pyro.deterministic("sometimes", torch.tensor(1.0))

    for _ in range(10):
        with pytest.raises(UserError, match="'sometimes' is missing or has another shape in some draws"):
            converted(model, lambda y: pyro.sample("z", dist.Normal(0, 1)), Y, num_samples=40, chunk_size=2)

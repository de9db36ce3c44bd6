"""The reported KL of each latent site: nats per example, whatever the batch stands for."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch

from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.metrics import term_metrics

BATCH = 6


@pytest.mark.parametrize("full", [BATCH, 10 * BATCH])
def test_kl_of_a_site_is_its_mean_over_examples_and_that_of_a_global_latent_is_shared_among_all(full: int) -> None:
    """Between unit normals the KL is half the squared distance of the means."""
    means = torch.randn(BATCH)

    def model() -> None:
        pyro.sample("global", dist.Normal(0.0, 1.0))
        with pyro.plate("data", full, subsample=range(BATCH)):
            v = pyro.sample("v", dist.Normal(torch.zeros(BATCH), 1.0))
            pyro.sample("y", dist.Bernoulli(logits=v), obs=torch.ones(BATCH))

    def guide() -> None:
        pyro.sample("global", dist.Normal(3.0, 1.0))
        with pyro.plate("data", full, subsample=range(BATCH)):
            pyro.sample("v", dist.Normal(means, 1.0))

    found = term_metrics(RectificationELBO().terms(model, guide))
    torch.testing.assert_close(found["kl/v"], means.square().mean() / 2)
    torch.testing.assert_close(found["kl/global"], torch.tensor(4.5 / full))
    torch.testing.assert_close(found["kl"], found["kl/v"] + found["kl/global"])

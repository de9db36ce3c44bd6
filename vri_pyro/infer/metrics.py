"""Metrics of a training step: scalars that stay on the device until they are read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vri_pyro.infer.elbo import ELBOTerms

Metrics = dict[str, Tensor]


@torch.no_grad()
def term_metrics(terms: ELBOTerms) -> Metrics:
    """Metrics of the ELBO terms: the KL, and the spread of posterior and prior for each latent site.

    Args:
        terms: the terms of one ELBO evaluation.

    Returns:
        scalars by name, without a graph:

        * ``kl`` and, for each site, ``kl/<site>``: KL in nats per example.
        * ``posterior_std/<site>`` and ``prior_std/<site>``: standard deviation, averaged over the batch and over the
          entries of a vector.
        * ``posterior_variance_norm/<site>``: ‖σ²‖, the norm of the vector of variances of an example, averaged over
          the batch. It goes to 0 if the posterior collapses to a point (paper, fig. 4).

        A spread is NaN if the variance of the distribution has no closed form.
    """
    metrics = {"kl": terms.mean_kl()}
    for site, kl in terms.kl.items():
        metrics[f"kl/{site}"] = kl.sum() / terms.plate_size
    for site, posterior in terms.posterior.items():
        variance = _variance(posterior, like=metrics["kl"])
        of_an_example = variance.unsqueeze(-1).flatten(-posterior.event_dim - 1)
        metrics[f"posterior_std/{site}"] = variance.sqrt().mean()
        metrics[f"posterior_variance_norm/{site}"] = of_an_example.norm(dim=-1).mean()
        metrics[f"prior_std/{site}"] = _variance(terms.prior[site], like=metrics["kl"]).sqrt().mean()
    return {name: value.detach() for name, value in metrics.items()}


def _variance(distribution: Any, like: Tensor) -> Tensor:
    """Variances in the shape of the distribution; NaN if they have no closed form."""
    try:
        return distribution.variance
    except NotImplementedError:
        return like.new_full(distribution.shape(), torch.nan)

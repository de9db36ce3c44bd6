"""What a step reports: scalars that stay on the device until somebody reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vri_pyro.infer.elbo import ELBOTerms

Metrics = dict[str, Tensor]


@torch.no_grad()
def term_metrics(terms: ELBOTerms) -> Metrics:
    """KL in nats a datum; by latent site the posterior's and the prior's spread, averaged over the batch.

    ``posterior_std/…`` and ``prior_std/…`` are mean standard deviations, over a vector's entries too.
    ``posterior_variance_norm/…`` is ‖σ²‖, the length of the vector of an example's variances, which goes to 0 where the
    posterior collapses to a point (paper, fig. 4).
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
    """The variances, of the distribution's shape; not a number where they have no closed form."""
    try:
        return distribution.variance
    except NotImplementedError:
        return like.new_full(distribution.shape(), torch.nan)

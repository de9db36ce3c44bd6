"""What a step reports: scalars that stay on the device until somebody reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vri_pyro.elbo import ELBOTerms

Metrics = dict[str, Tensor]


@torch.no_grad()
def term_metrics(terms: ELBOTerms) -> Metrics:
    """KL in nats a datum, and by latent site the mean standard deviation of posterior and prior."""
    metrics = {"kl": terms.mean_kl()}
    for site, kl in terms.kl.items():
        metrics[f"kl/{site}"] = kl.sum() / terms.plate_size
    for site in terms.posterior:
        metrics[f"posterior_std/{site}"] = _mean_std(terms.posterior[site], like=metrics["kl"])
        metrics[f"prior_std/{site}"] = _mean_std(terms.prior[site], like=metrics["kl"])
    return {name: value.detach() for name, value in metrics.items()}


def _mean_std(distribution: Any, like: Tensor) -> Tensor:
    """Mean standard deviation over data and dimensions; not a number where the distribution has no closed form."""
    try:
        return distribution.variance.sqrt().mean()
    except NotImplementedError:
        return like.new_full((), torch.nan)

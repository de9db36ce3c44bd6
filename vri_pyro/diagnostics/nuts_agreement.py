"""Compare a guide with NUTS: means, standard deviations and interval coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS
from torch import Tensor

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.utils.errors import UserError

LEVEL = 0.9  # probability of the intervals whose coverage is measured


@dataclass(frozen=True)
class Agreement:
    """Comparison of a guide's draws with draws of NUTS, for each scalar coordinate of a latent.

    Attributes:
        shift: mean of the guide minus mean of NUTS, in standard deviations of NUTS, [...].
        scale: standard deviation of the guide divided by that of NUTS, [...].
        coverage: share of the NUTS draws inside the guide's central 90% interval, [...]; 0.9 if the two agree.
    """

    shift: Tensor
    scale: Tensor
    coverage: Tensor


def nuts_draws(
    model: Callable[..., Any], *args: Any, num_draws: int = 2000, warmup: int = 500, **kwargs: Any
) -> dict[str, Tensor]:
    """Sample the posterior of a small problem with Pyro's NUTS.

    Args:
        model: a Pyro model with the arguments ``(*args, **kwargs)``, without subsampling, scales and discrete latents.
        num_draws: number of draws of the single chain.
        warmup: number of warm-up steps before the first draw.

    Returns:
        draws [num_draws, ...] by name of the latent site.

    Reference: Hoffman and Gelman, The No-U-Turn sampler, JMLR 2014.
    """
    sampler = MCMC(NUTS(model), num_samples=num_draws, warmup_steps=warmup, disable_progbar=True)
    sampler.run(*args, **kwargs)
    return {name: values.detach() for name, values in sampler.get_samples().items()}


def nuts_agreement(
    exact: dict[str, Tensor], guide: Callable[..., Any], *args: Any, **kwargs: Any
) -> dict[str, Agreement]:
    """Compare a guide with draws of NUTS.

    Args:
        exact: draws from :func:`nuts_draws`.
        guide: a Pyro guide with the arguments ``(*args, **kwargs)``. As many draws are taken from it as from NUTS.

    Returns:
        the comparison by name of the latent site.

    Raises:
        UserError: the guide does not sample one of the latents that NUTS sampled.
    """
    number = len(next(iter(exact.values())))
    with torch.no_grad():
        drawn = [traces.latent(poutine.trace(guide).get_trace(*args, **kwargs)) for _ in range(number)]
    if missing := exact.keys() - drawn[0].keys():
        raise UserError(f"the guide does not sample '{min(missing)}', which NUTS did; use a guide of the same model")
    return {
        name: compare(torch.stack([sites[name]["value"] for sites in drawn]), values) for name, values in exact.items()
    }


def compare(drawn: Tensor, exact: Tensor) -> Agreement:
    """Compare draws [n, ...] of a guide with draws [m, ...] of the posterior."""
    tail = (1 - LEVEL) / 2
    low, high = drawn.quantile(tail, dim=0), drawn.quantile(1 - tail, dim=0)
    return Agreement(
        shift=(drawn.mean(0) - exact.mean(0)) / exact.std(0),
        scale=drawn.std(0) / exact.std(0),
        coverage=((exact >= low) & (exact <= high)).to(drawn).mean(0),
    )

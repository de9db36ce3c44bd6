"""Simulation-based calibration (SBC) of an amortised guide."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.pair import Unobserved
from vri_pyro.utils.errors import UserError

SIGNIFICANCE = 0.01
SLIGHT = 0.05  # largest deviation of the spread from 1, or of the mean transform from 1/2, that is called slight


@dataclass(frozen=True)
class Calibration:
    """SBC result of a latent, or of the data's log-likelihood.

    Attributes:
        transforms: probability integral transforms (normalised ranks) of the true values among the guide's draws,
            [simulations, ...], in (0, 1). Steps and ties are randomised. The transforms are uniform if the guide is the
            posterior.
        p_value: p-value of ArviZ's uniformity test. It is the smallest one over the scalar coordinates, with a
            Bonferroni correction.
    """

    transforms: np.ndarray
    p_value: float

    @property
    def coverage(self) -> float:
        """Share of true values inside the guide's central 90% interval."""
        return float(((self.transforms > 0.05) & (self.transforms < 0.95)).mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the transforms relative to a uniform's; above 1 if the guide is too narrow."""
        return float(self.transforms.std() * np.sqrt(12))

    @property
    def verdict(self) -> str:
        """The finding and the measures behind it, as a phrase."""
        if self.p_value >= SIGNIFICANCE:
            return f"calibrated, according to {len(self.transforms)} simulations (p = {self.p_value:.2g})"
        bias = float(self.transforms.mean()) - 0.5
        if abs(bias) > SLIGHT and abs(bias) * np.sqrt(12) > abs(self.spread - 1):  # in a uniform's standard deviations
            how = "misplaced"
        elif abs(self.spread - 1) > SLIGHT:
            how = "too narrow" if self.spread > 1 else "too wide"
        else:
            how = "slightly off"
        side = "above" if bias > 0 else "below"
        return f"not calibrated: {how} (spread {self.spread:.2f}, mean rank {abs(bias):.2f} {side} the middle)"


@torch.no_grad()
def simulation_based_calibration(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    given: Callable[[dict[str, Tensor]], tuple],
    simulations: int = 200,
    draws: int = 99,
) -> dict[str, Calibration]:
    """Check the calibration of a guide on data simulated from the model.

    Each simulation draws latents and data from the model, draws from the guide given the data, and ranks the true
    values among the guide's draws. The ranked quantities are the latents and the data's log-likelihood given the
    latents. The likelihood detects a guide that ignores the data, such as the prior, for which the ranks of every
    latent are uniform.

    Args:
        model: a Pyro model with the arguments ``args``. Its observed sites are sampled. Sites that the guide samples
            are latents, all others are data.
        guide: an amortised Pyro guide.
        args: arguments of the model.
        given: maps the simulated values, by site, to the guide's arguments.
        simulations: number of simulations. For sites in a plate, each position counts as a simulation of its own.
        draws: number of draws from the guide per simulation.

    Returns:
        the results by name of the latent site, and by ``log p(y)`` for a data site y. For sites in a plate, the
        plate's positions are part of the axis over simulations.

    Raises:
        UserError: the guide samples no latents, or a site that the model does not have.

    Reference: Talts et al., Validating Bayesian inference algorithms with simulation-based calibration, 2018; Modrák et
        al., Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes
        sensitivity, Bayesian Analysis 2023.
    """
    transforms: dict[str, list[Tensor]] = {}
    model = Unobserved()(model)
    for _ in range(simulations):
        simulated = poutine.trace(model).get_trace(*args)
        inputs = given({name: site["value"] for name, site in traces.latent(simulated).items()})
        truth, below, tied = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
        for _ in range(draws):
            drawn = _checked(traces.latent(poutine.trace(guide).get_trace(*inputs)), simulated)
            truth = truth or _quantities(simulated, drawn)
            at_drawn = simulated.copy()
            for name, site in drawn.items():
                at_drawn.nodes[name] = at_drawn.nodes[name] | {"value": site["value"]}
            run = poutine.trace(poutine.replay(model, trace=at_drawn)).get_trace(*args)
            for name, value in _quantities(run, drawn).items():
                below[name] = below.get(name, torch.zeros(())) + (value < truth[name]).double()
                tied[name] = tied.get(name, torch.zeros(())) + (value == truth[name]).double()
        for name, ranks in below.items():
            # Randomised within a step of the ranks, whose grid a powerful test would reject even for the posterior.
            place = (ranks + torch.rand_like(ranks) * (tied[name] + 1)) / (draws + 1)
            transforms.setdefault(name, []).append(place.flatten(1))
    return {name: _calibration(torch.cat(parts).cpu().numpy()) for name, parts in transforms.items()}


def _checked(drawn: dict[str, traces.Site], simulated: Any) -> dict[str, traces.Site]:
    if not drawn:
        raise UserError("the guide samples no latents, so there is nothing to calibrate; use a guide that samples some")
    if strangers := [name for name in drawn if name not in traces.latent(simulated)]:
        raise UserError(f"the guide samples '{strangers[0]}', which the model does not; use the same latents in both")
    return drawn


def _quantities(run: Any, latents: Collection[str]) -> dict[str, Tensor]:
    """The ranked quantities of a model trace, [simulations, ...]: the latents and the data's log-likelihood."""
    sites = traces.latent(run)
    found = {name: sites[name]["value"].reshape(-1, max(1, sites[name]["fn"].event_shape.numel())) for name in latents}
    data = {name: traces.log_prob(site) for name, site in sites.items() if name not in latents}
    return found | {f"log p({name})": likelihood.reshape(-1, 1) for name, likelihood in data.items()}


def _calibration(transforms: np.ndarray) -> Calibration:
    from arviz_stats.base import array_stats  # slow to import

    p_values, *_ = array_stats.uniformity_test(transforms, axis=0)
    return Calibration(transforms, float(min(1.0, p_values.min() * p_values.size)))

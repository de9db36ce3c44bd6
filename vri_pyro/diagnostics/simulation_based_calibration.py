"""Is an amortised guide right on average over data? Ranks of the truth among a guide's draws."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor

from vri_pyro.diagnostics import pyro_traces as traces
from vri_pyro.diagnostics.conversion.pair import Unobserved
from vri_pyro.utils.errors import UserError

SIGNIFICANCE = 0.01
SLIGHT = 0.05  # of the spread, and of the mean transform


@dataclass(frozen=True)
class Calibration:
    """Probability integral transforms of a latent, or of the data's likelihood: uniform if the guide is the posterior.

    Attributes:
        transforms: place of the truth among the guide's draws, [simulations, ...], in (0, 1): their share below it,
            within the steps and ties of which it is at random.
        p_value: of ArviZ's test of uniformity for each scalar coordinate, the least times their number.
    """

    transforms: np.ndarray
    p_value: float

    @property
    def coverage(self) -> float:
        """Share of truths inside the guide's central 90% interval."""
        return float(((self.transforms > 0.05) & (self.transforms < 0.95)).mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the transforms over that of a uniform: above 1 the guide is too sure of itself."""
        return float(self.transforms.std() * np.sqrt(12))

    @property
    def verdict(self) -> str:
        """In words."""
        if self.p_value >= SIGNIFICANCE:
            return f"calibrated, as far as {len(self.transforms)} simulations tell (p = {self.p_value:.2g})"
        bias = float(self.transforms.mean()) - 0.5
        if abs(bias) > SLIGHT and abs(bias) * np.sqrt(12) > abs(self.spread - 1):  # both in a uniform's sd
            how = "misplaced"
        elif abs(self.spread - 1) > SLIGHT:
            how = "too narrow" if self.spread > 1 else "too wide"
        else:
            how = "off by a little that many simulations show"
        side = "above" if bias > 0 else "below"
        return f"not calibrated: {how} (spread {self.spread:.2f}, truths {abs(bias):.2f} {side} the middle on average)"


@torch.no_grad()
def simulation_based_calibration(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    given: Callable[[dict[str, Tensor]], tuple],
    simulations: int = 200,
    draws: int = 99,
) -> dict[str, Calibration]:
    """Draw latents and data from the model, let the guide infer, and rank the truth among its draws.

    Ranked are the latents, and the data's log-likelihood given them: a guide that takes no notice of the data, such as
    the prior, has uniform ranks of every latent, and is told by the likelihood.

    Args:
        model: a Pyro callable of ``args``, whose observed sites are sampled instead; what the guide draws is
            latent, and what it does not draw is data.
        guide: a Pyro callable, amortised over data.
        args: of the model.
        given: from what was simulated, by site, to the guide's arguments.
        simulations: how many; data of a plate are simulated together, each a simulation of its own for a latent in it.
        draws: of the guide a simulation.

    Returns:
        by latent site, and ``log p(y)`` for data y; sites in a plate have it among the simulations.

    Raises:
        UserError: the guide draws something that the model does not, or nothing.

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
            # Anywhere between its neighbours: on a grid, ranks of the posterior itself are not uniform to a sharp test.
            place = (ranks + torch.rand_like(ranks) * (tied[name] + 1)) / (draws + 1)
            transforms.setdefault(name, []).append(place.flatten(1))
    return {name: _calibration(torch.cat(parts).cpu().numpy()) for name, parts in transforms.items()}


def _checked(drawn: dict[str, traces.Site], simulated: Any) -> dict[str, traces.Site]:
    if not drawn:
        raise UserError("the guide draws no latents, so there is nothing to calibrate; give a guide that does")
    if strangers := [name for name in drawn if name not in traces.latent(simulated)]:
        raise UserError(f"the guide draws '{strangers[0]}', which the model does not; give both the same latents")
    return drawn


def _quantities(run: Any, latents: Collection[str]) -> dict[str, Tensor]:
    """What is ranked, in a run of the model, [simulations, ...]: the latents, and the likelihood of the data."""
    sites = traces.latent(run)
    found = {name: sites[name]["value"].reshape(-1, max(1, sites[name]["fn"].event_shape.numel())) for name in latents}
    data = {name: traces.log_prob(site) for name, site in sites.items() if name not in latents}
    return found | {f"log p({name})": likelihood.reshape(-1, 1) for name, likelihood in data.items()}


def _calibration(transforms: np.ndarray) -> Calibration:
    from arviz_stats.base import array_stats  # takes seconds to import

    p_values, *_ = array_stats.uniformity_test(transforms, axis=0)
    return Calibration(transforms, float(min(1.0, p_values.min() * p_values.size)))

"""Verdicts on a run's posterior: its distance to the model's posterior, and collapse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vri_pyro.diagnostics.collapse import Collapse, collapse
from vri_pyro.diagnostics.conversion.densities import GLOBALS, POINT_MASSES, names_in
from vri_pyro.diagnostics.from_pyro_svi import from_pyro_svi
from vri_pyro.diagnostics.importance import Bounds, bounds, pareto_k, rightness
from vri_pyro.diagnostics.run_posterior import outputs_of
from vri_pyro.runs.run import Run

if TYPE_CHECKING:
    from xarray import DataArray, DataTree


@dataclass(frozen=True)
class Judgement:
    """Measures of the posterior on a set of examples, and verdicts based on them.

    Attributes:
        k_hat: Pareto k-hat of each example, [data].
        bounds: ELBO and importance-weighted bound of each example, in nats.
        collapse: collapse measures by name of the per-example latent site.
        points: latents for which the guide is a point mass. Importance weights cannot assess them.
        given: global latents, shared by all examples. The other latents are assessed given the guide's draws of these.
    """

    k_hat: DataArray
    bounds: Bounds
    collapse: dict[str, Collapse]
    points: list[str]
    given: list[str]

    @property
    def of_the_guide(self) -> str:
        """A sentence or two on whether the guide is the posterior of its model."""
        if self.points:
            points = " and ".join(self.points)
            return f"The guide is a point mass in {points}, so importance weights cannot assess it."
        verdict = f"The guide is {rightness(self.k_hat, self.bounds)}."
        if not self.given:
            return verdict
        return (
            f"{verdict} This assesses each example separately, given the draws of {' and '.join(self.given)}; "
            "importance weights of some examples cannot assess a latent that all examples share."
        )

    def of_latent(self, site: str) -> str:
        """A sentence on whether the posterior of a latent collapsed."""
        if site in self.points:
            return f"The guide is a point mass in {site}, so there is no spread that could collapse."
        return f"The posterior of {site} {self.collapse[site].verdict} (mean of {self.k_hat.size} examples)."


def judge_posterior(
    run: Run, indices: np.ndarray, tree: DataTree | None = None, num_draws: int = 500, seed: int = 0
) -> Judgement:
    """Measure the quality and the collapse of the posterior of training examples.

    Args:
        run: a trained run with a model and a guide that have latents.
        indices: positions of the examples in the training set, int64 [n].
        tree: draws for these examples with the group ``sample_stats``, as returned by
            :func:`~vri_pyro.diagnostics.run_posterior`. When None, draws are made.
        num_draws: number of draws per example if ``tree`` is None, at least
            :data:`~vri_pyro.diagnostics.importance.FEWEST_DRAWS`.
        seed: random seed. The states of PyTorch's generators are restored afterwards.

    Raises:
        UserError: the run's method has no model and guide, or they have no latents.
    """
    output, y = outputs_of(run, indices)
    with torch.random.fork_rng(devices=[y.device] if y.is_cuda else []):
        torch.manual_seed(seed)
        if tree is None:
            tree = from_pyro_svi(
                (run.model, run.guide),
                model_args=(output, y),
                num_samples=num_draws,
                groups=["sample_stats"],
                chunk_size=20,
            )
        collapsed = collapse(run.model, run.guide, [(output, y)])
    attributes = tree["sample_stats"].attrs
    points, given = names_in(attributes[POINT_MASSES]), names_in(attributes[GLOBALS])
    return Judgement(pareto_k(tree), bounds(tree), collapsed, points, given)

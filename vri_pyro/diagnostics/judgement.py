"""What is to be thought of a run's posterior: is it right, and did it collapse?"""

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
    """The measures of a posterior on some examples.

    Attributes:
        k_hat: Pareto's k-hat, [data].
        bounds: the ELBO and the importance-weighted bound, nats an example.
        collapse: by latent site of an example.
        points: the latents that the guide makes a point, which weights can say nothing about.
        given: the latents of all examples together, as of which the guide drew them the others are judged.
    """

    k_hat: DataArray
    bounds: Bounds
    collapse: dict[str, Collapse]
    points: list[str]
    given: list[str]

    @property
    def of_the_guide(self) -> str:
        """Whether the guide is the posterior of its model, in a sentence."""
        if self.points:
            return f"The guide makes {' and '.join(self.points)} a point, so weights say nothing about it."
        verdict = f"The guide is {rightness(self.k_hat, self.bounds)}."
        if not self.given:
            return verdict
        return (
            f"{verdict} That is of each example by itself, given {' and '.join(self.given)} as drawn; whether what all "
            "examples share is right, weights of some of them cannot tell."
        )

    def of_latent(self, site: str) -> str:
        """Whether the posterior of a latent collapsed, in a sentence."""
        if site in self.points:
            return f"The guide makes {site} a point, so there is no spread that could collapse."
        return f"The posterior of {site} {self.collapse[site].verdict} (mean of {self.k_hat.size} examples)."


def judge_posterior(
    run: Run, indices: np.ndarray, tree: DataTree | None = None, num_draws: int = 500, seed: int = 0
) -> Judgement:
    """Measure the posterior of training examples.

    Args:
        run: a trained run, with a model and a guide that has latents.
        indices: positions of the examples in the training set, int64 [n].
        tree: draws of theirs, with ``sample_stats``, such as :func:`~vri_pyro.diagnostics.run_posterior` has; drawn
            when None.
        num_draws: of each, where they are drawn, at least :data:`~vri_pyro.diagnostics.importance.FEWEST_DRAWS`.
        seed: of everything drawn; the state of the generators is left as it was.

    Raises:
        UserError: the run's method has no model and guide, or they have no latents.
    """
    output, y = outputs_of(run, indices)
    with torch.random.fork_rng(devices=[y.device] if y.is_cuda else []):
        torch.manual_seed(seed)
        if tree is None:
            tree = from_pyro_svi(
                run.model, run.guide, output, y, num_draws=num_draws, chunk_size=20, groups=["sample_stats"]
            )
        collapsed = collapse(run.model, run.guide, [(output, y)])
    attributes = tree["sample_stats"].attrs
    points, given = names_in(attributes[POINT_MASSES]), names_in(attributes[GLOBALS])
    return Judgement(pareto_k(tree), bounds(tree), collapsed, points, given)

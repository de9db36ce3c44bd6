"""Guide and model run on the same arguments, draw by draw or some draws at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from pyro.poutine.util import site_is_factor

from vri_pyro.diagnostics import pyro_traces as traces
from vri_pyro.diagnostics.pyro_traces import Site
from vri_pyro.infer.elbo import is_deterministic
from vri_pyro.utils.errors import UserError


class Pair:
    """Guide and model, run on the same arguments and, where their plates work on subsamples, on the same ones.

    Attributes:
        draws: how many to make in a run.
    """

    def __init__(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
        self._model, self._guide, self._args, self._kwargs = model, guide, args, kwargs
        self._subsamples: dict[str, Any] = {}
        self.draws = 1
        guided, modelled = self.posterior()
        _check_latents(guided, modelled)
        sites = [s for trace in (guided, modelled) for s in trace.nodes.values() if s["type"] == "sample"]
        self._nesting = max((-frame.dim for site in sites for frame in traces.plates(site)), default=0)
        self._subsamples = traces.subsamples(guided) | traces.subsamples(modelled)

    def posterior(self, drawn: Any = None) -> tuple[Any, Any]:
        """Traces of the guide, and of the model at what the guide drew."""
        guided = self.guided(drawn)
        return guided, self._run(poutine.replay(self._on_subsamples(self._model), trace=guided))

    def guided(self, drawn: Any = None) -> Any:
        """A trace of the guide; at the values of another trace where there is one."""
        guide = self._on_subsamples(self._guide)
        guided = self._run(guide if drawn is None else poutine.replay(guide, trace=drawn))
        if isinstance(self._guide, GuideMessenger):  # which runs the model, whose data are not the guide's
            observed = [name for name, site in traces.stochastic(guided).items() if site["is_observed"]]
            for name in [*observed, *traces.deterministic(guided)]:
                guided.remove_node(name)
        return guided

    def predicted(self, guided: Any = None) -> tuple[dict[str, Site], dict[str, Site]]:
        """The model's latents, drawn from the prior unless the guide drew them, and data drawn given them."""
        model = self._on_subsamples(Unobserved()(self._model))
        try:
            drawn = self._run(model if guided is None else poutine.replay(model, trace=guided))
        except (NotImplementedError, ValueError, ArithmeticError, RuntimeError) as error:
            group = "prior and prior_predictive" if guided is None else "posterior_predictive"
            raise UserError(
                f"the model cannot be drawn from for {group} ({first_line(error)}); leave that out: groups without "
                f"{group}"
            ) from error
        sites = traces.latent(drawn)
        data = {n: s for n, s in sites.items() if s["infer"].get("was_observed")}
        latents = {n: s for n, s in sites.items() if not s["infer"].get("was_observed")}
        return latents | traces.deterministic(drawn), data

    def _run(self, function: Callable) -> Any:
        if self.draws > 1:
            function = pyro.plate("draws_vectorized", self.draws, dim=-self._nesting - 1)(function)
        return poutine.trace(function).get_trace(*self._args, **self._kwargs)

    def _on_subsamples(self, function: Callable) -> Callable:
        return poutine.condition(function, data=self._subsamples) if self._subsamples else function


class Unobserved(UnconditionMessenger):
    """Has observed data sampled; factors and deterministic values stay as they are."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (is_deterministic(msg) or site_is_factor(msg)):
            super()._pyro_sample(msg)


def _check_latents(guided: Any, modelled: Any) -> None:
    """Refuse a guide that draws other latents than the model has."""
    drawn, needed = traces.latent(guided), traces.latent(modelled)
    for name in sorted(needed.keys() - drawn.keys()):
        discrete = getattr(needed[name]["fn"], "has_enumerate_support", False)
        remedy = "draw it in the guide (a latent that enumeration summed out has no draws)" if discrete else "draw it"
        raise UserError(f"the model's latent '{name}' is not in the guide; {remedy}, or observe it in the model")
    for name in sorted(drawn.keys() - needed.keys()):
        raise UserError(
            f"the guide draws '{name}', which is no latent of the model; mark it infer={{'is_auxiliary': True}}"
        )
    for name, site in needed.items():
        shape, expected = tuple(drawn[name]["value"].shape), tuple(site["fn"].shape())
        if shape != expected:
            raise UserError(f"the guide draws '{name}' in shape {shape}, the model in {expected}; use the same plates")


def first_line(error: Exception) -> str:
    """Of an error's message, or what kind it is where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)

"""Run guide and model on the same arguments, one draw or several vectorised draws at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
from pyro import poutine
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from pyro.poutine.util import site_is_factor

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.traces import Site, is_deterministic


class Pair:
    """Runs guide and model on the same arguments and the same subsamples.

    Attributes:
        draws: number of draws per run.
        event_dims: names of event dimensions by site, from ``infer={"event_dims": ...}`` of the model's sites.
    """

    def __init__(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
        noted = _EventDims()
        self.event_dims = noted.found
        self._model, self._guide, self._args, self._kwargs = noted(model), guide, args, kwargs
        self._subsamples: dict[str, Any] = {}
        self.draws = 1
        guided, modelled = self.posterior()
        _check_latents(guided, modelled)
        sites = [s for trace in (guided, modelled) for s in trace.nodes.values() if s["type"] == "sample"]
        self._nesting = max((-frame.dim for site in sites for frame in traces.plates(site)), default=0)
        self._subsamples = traces.subsamples(guided) | traces.subsamples(modelled)

    def posterior(self, drawn: Any = None) -> tuple[Any, Any]:
        """Return a trace of the guide, and one of the model replayed against it."""
        guided = self.guided(drawn)
        return guided, self._run(poutine.replay(self._on_subsamples(self._model), trace=guided))

    def guided(self, drawn: Any = None) -> Any:
        """Return a trace of the guide, replayed against another trace if one is given."""
        guide = self._on_subsamples(self._guide)
        guided = self._run(guide if drawn is None else poutine.replay(guide, trace=drawn))
        if isinstance(self._guide, GuideMessenger):  # it runs the model, so its trace has the data too
            observed = [name for name, site in traces.stochastic(guided).items() if site["is_observed"]]
            for name in [*observed, *traces.deterministic(guided)]:
                guided.remove_node(name)
        return guided

    def predicted(self, guided: Any = None) -> tuple[dict[str, Site], dict[str, Site]]:
        """Return the model's latents, from the prior or a trace of the guide, and data sampled given them."""
        model = self._on_subsamples(Unobserved()(self._model))
        try:
            drawn = self._run(model if guided is None else poutine.replay(model, trace=guided))
        except (NotImplementedError, ValueError, ArithmeticError, RuntimeError) as error:
            group = "prior and prior_predictive" if guided is None else "posterior_predictive"
            raise ConversionError(
                f"the model cannot be sampled for {group} ({first_line(error)}); leave {group} out of groups"
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


class _EventDims(Messenger):
    """Notes ``event_dims`` of the model's sites, which a replay replaces by what the guide's sites have."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}

    def _pyro_sample(self, msg: Any) -> None:
        if named := msg["infer"].get("event_dims"):
            self.found[msg["name"]] = list(named)


class Unobserved(UnconditionMessenger):
    """Samples observed data; factors and deterministic sites are not changed."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (is_deterministic(msg) or site_is_factor(msg)):
            super()._pyro_sample(msg)


def _check_latents(guided: Any, modelled: Any) -> None:
    """Raise if guide and model have different latents."""
    drawn, needed = traces.latent(guided), traces.latent(modelled)
    for name in sorted(needed.keys() - drawn.keys()):
        discrete = getattr(needed[name]["fn"], "has_enumerate_support", False)
        note = " (a latent that is enumerated out has no draws)" if discrete else ""
        raise ConversionError(
            f"the model's latent '{name}' is not in the guide; sample it in the guide{note}, or observe it in the model"
        )
    for name in sorted(drawn.keys() - needed.keys()):
        raise ConversionError(
            f"the guide samples '{name}', which is not a latent of the model; mark it infer={{'is_auxiliary': True}}"
        )
    for name, site in needed.items():
        shape, expected = tuple(drawn[name]["value"].shape), tuple(site["fn"].shape())
        if shape != expected:
            raise ConversionError(
                f"'{name}' has shape {shape} in the guide and {expected} in the model; use the same plates"
            )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)

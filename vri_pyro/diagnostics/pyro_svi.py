"""From a Pyro model and guide to ArviZ: draws, predictions, log-likelihood and log-densities as one DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import arviz as az
import numpy as np
import pyro
import torch
from numpy.typing import ArrayLike
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor
from xarray import DataTree

from vri_pyro.diagnostics.sites import (
    Layout,
    frame_of,
    is_point,
    kind_of,
    layout_of,
    log_density_of,
    log_likelihood_of,
    sites_of,
)
from vri_pyro.errors import UserError

_DRAWS = "_draws_at_once"  # the name of our plate over draws
_RESERVED = ("chain", "draw")


@torch.no_grad()
def from_pyro_svi(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    num_draws: int = 1000,
    num_prior_draws: int | None = None,
    parallel: bool = False,
    chunk_size: int = 50,
    data_plate: str | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, ArrayLike] | None = None,
    constant_data: Mapping[str, ArrayLike] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> DataTree:
    """Draw from a Pyro guide and its model, and lay everything out as ArviZ expects it.

    Any Pyro model and guide will do: latents in plates and outside, nested and subsampled plates, automatic guides,
    discrete latents that the guide samples. Nothing is trained; PyTorch's random state moves as it does in Pyro. A
    plate that draws a subsample draws it once, and all draws are of that subsample.

    The dimensions of a variable are (chain, draw), with one chain, then its plates by their names, then its event,
    named by ``dims`` or ``<variable>_dim_0`` and so on. The groups:

    * ``posterior``: latents drawn from the guide, and the model's deterministic values at them;
    * ``prior``: the same drawn from the model;
    * ``posterior_predictive``, ``prior_predictive``: the observed sites, drawn anew;
    * ``log_likelihood``: log p(y | latents), masked but never scaled, without event dimensions;
    * ``sample_stats``: log-densities in nats, without the scale of subsampling (a scale of the model's own stays):
      ``log_p`` and ``log_q`` per entry of the data plate, of the sites within it, p(latents, y) and q(latents); and
      ``log_p_joint`` and ``log_q_joint``, of all sites together. The first two are there when the data plate holds
      latents and the guide's density has parts by datum; given what is drawn outside the plate, exp(log_p - log_q)
      weights a datum's draws. The joint ones are there when no plate is subsampled, since a part of the data has
      another posterior than all of it;
    * ``observed_data``, and ``constant_data`` when given.

    Memory is bounded by the result: draws are made one by one, or ``chunk_size`` at a time.

    Args:
        model: with all data observed when called with the arguments.
        guide: samples every latent of the model.
        *args: of model and guide alike.
        num_draws: from the posterior.
        num_prior_draws: from the prior; as many as from the posterior when None. 0 leaves both prior groups out.
        parallel: whether to make several draws at once by a plate around model and guide, as Pyro's ``Predictive``
            may; every batch dimension must then be in a plate. Much faster where a guide computes something.
        chunk_size: how many at once when ``parallel``.
        data_plate: the plate whose entries are the data; when None, the one that all observed sites are in, if there
            is exactly one.
        dims: names of event dimensions by variable, or of all dimensions but chain and draw.
        coords: labels by dimension; those of a subsampled plate are for the entries there or for all.
        constant_data: arrays to go along, such as covariates; ``dims`` names all of their dimensions.
        model_kwargs: keyword arguments of model and guide.

    Returns:
        the tree; ``az.summary``, ``az.plot_forest`` and the like take it, and ``to_netcdf`` writes it.

    Raises:
        UserError: the guide lacks a latent of the model (one that was summed out in training, say), sites change from
            draw to draw or cannot be drawn at once, names or labels do not fit, or the prior cannot be sampled.

    Reference: the InferenceData schema of ArviZ, https://python.arviz.org/en/stable/schema/schema.html
    """
    if num_draws < 1 or chunk_size < 1:
        raise UserError(f"num_draws is {num_draws} and chunk_size {chunk_size}; give at least 1 of each")
    pair = _Pair(model, guide, args, dict(model_kwargs or {}), data_plate, chunk_size if parallel else 1, parallel)
    groups: dict[str, dict[str, Any]] = dict(pair.posterior(num_draws))
    prior_draws = num_draws if num_prior_draws is None else num_prior_draws
    if prior_draws:
        groups |= pair.prior(prior_draws)
    groups["observed_data"] = pair.observed_data()
    if constant_data:
        groups["constant_data"] = {name: np.asarray(values) for name, values in constant_data.items()}
    filled = {group: variables for group, variables in groups.items() if variables}
    made_by = {"inference_library": "pyro", "inference_library_version": pyro.__version__}
    return az.from_dict(
        filled,
        dims=pair.dims(dims or {}),
        coords=pair.coords(coords or {}),
        attrs=dict.fromkeys(filled, made_by),
    )


class _Pair:
    """A model and a guide with their arguments, after one draw that showed how they are built."""

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        data_plate: str | None,
        at_once: int,
        vectorised: bool,
    ) -> None:
        self.model, self.guide, self.args, self.kwargs = model, guide, args, kwargs
        self.at_once, self.vectorised = at_once, vectorised
        self.fixed: Any = None  # the subsamples, once they are drawn
        self.plate_dim = 0
        guide_trace, model_trace = self._traces(1)
        _check_latents(model_trace, guide_trace)
        self.fixed = poutine.Trace()
        for trace in (model_trace, guide_trace):
            for name, site in sites_of(trace, "subsample").items():
                if name not in self.fixed:
                    self.fixed.add_node(name, **site)
        shown = sites_of(model_trace, "latent", "observed", "deterministic", "factor")
        self.kinds = {name: kind_of(site) for name, site in shown.items()}
        self.layouts: dict[str, Layout] = {name: layout_of(site) for name, site in shown.items()}
        self.guide_layouts = {name: layout_of(site) for name, site in _densities(guide_trace).items()}
        self.plates = {
            frame.name: frame
            for trace in (model_trace, guide_trace)
            for site in trace.nodes.values()
            for frame in site.get("cond_indep_stack", ())
            if frame.vectorized
        }
        if taken := [name for name in _RESERVED if name in self.plates]:
            raise UserError(f"a plate is called '{taken[0]}', as ArviZ calls the draws; give it another name")
        self.plate_dim = -1 - max((-frame.dim for frame in self.plates.values()), default=0)
        self.observed = {n: s["value"] for n, s in sites_of(model_trace, "observed").items()}
        self.data_plate = self._data_plate(data_plate, model_trace)
        self.per_datum = self._has_densities_per_datum(model_trace, guide_trace)
        self.subsampled = any(f.full_size and f.full_size != f.size for f in self.plates.values())

    def posterior(self, num_draws: int) -> dict[str, dict[str, np.ndarray]]:
        """The groups that are drawn from the guide."""
        store = _Store(num_draws)
        for at, count in store.chunks(self.at_once):
            guide_trace, model_trace = self._traces(count)
            self._keep(store, "posterior", model_trace, at, count, "latent", "deterministic")
            for name, site in sites_of(model_trace, "observed").items():
                density = self.layouts[name].log_density(name, log_likelihood_of(site), count)
                store.put("log_likelihood", name, density, at)
            self._keep_densities(store, "log_p", _densities(model_trace), self.layouts, at, count)
            self._keep_densities(store, "log_q", _densities(guide_trace), self.guide_layouts, at, count)
            if self.observed:
                predicted = self._run(self.model, count, guide_trace, _DataForgotten())
                self._keep(store, "posterior_predictive", predicted, at, count, names=self.observed)
        return store.groups

    def prior(self, num_draws: int) -> dict[str, dict[str, np.ndarray]]:
        """The groups that are drawn from the model."""
        store = _Store(num_draws)
        for at, count in store.chunks(self.at_once):
            try:
                trace = self._run(self.model, count, None, _DataForgotten())
            except NotImplementedError as error:
                raise UserError("the model's prior cannot be sampled from; set num_prior_draws to 0") from error
            latents = [name for name in self.layouts if self.kinds[name] in ("latent", "deterministic")]
            self._keep(store, "prior", trace, at, count, names=latents)
            self._keep(store, "prior_predictive", trace, at, count, names=self.observed)
        return store.groups

    def observed_data(self) -> dict[str, np.ndarray]:
        """The data."""
        return {
            name: self.layouts[name].values(name, torch.as_tensor(value), 1)[0].cpu().numpy()
            for name, value in self.observed.items()
        }

    def dims(self, given: Mapping[str, Sequence[str]]) -> dict[str, list[str | None]]:
        """The dimensions of every variable but chain and draw; None where ArviZ is to make up a name."""
        dims: dict[str, list[str | None]] = {name: list(names) for name, names in given.items()}
        for name, layout in self.layouts.items():
            own = [*layout.plates, *(None for _ in layout.event)]
            names = list(given.get(name, ()))
            if len(names) == len(own):
                own = names
            elif names:
                nameless = [position for position, plate in enumerate(own) if plate is None]
                if len(names) != len(nameless):
                    raise UserError(
                        f"dims has {len(names)} names for '{name}', which has {len(nameless)} event dimensions and "
                        f"{len(own)} in all; name the former or all"
                    )
                for position, given_name in zip(nameless, names, strict=True):
                    own[position] = given_name
            dims[name] = own
        return dims | {"log_p": [self.data_plate], "log_q": [self.data_plate]}

    def coords(self, given: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
        """Labels of the plates, and those given for other dimensions."""
        coords = {name: np.asarray(labels) for name, labels in given.items()}
        for name, frame in self.plates.items():
            indices = self._subsample(name, frame.size)
            labels = coords.get(name, indices)
            if len(labels) == frame.full_size != frame.size:
                labels = labels[indices]
            if len(labels) != frame.size:
                raise UserError(f"coords has {len(labels)} labels for the plate '{name}' of {frame.size}; give as many")
            coords[name] = labels
        return coords

    def _subsample(self, plate: str, size: int) -> np.ndarray:
        drawn = self.fixed.nodes[plate]["value"] if plate in self.fixed else None
        return np.arange(size) if drawn is None else torch.as_tensor(drawn).cpu().numpy()

    def _traces(self, count: int) -> tuple[Any, Any]:
        guide_trace = self._run(self.guide, count, None)
        return guide_trace, self._run(self.model, count, guide_trace)

    def _run(self, function: Callable[..., Any], count: int, given: Any, *handlers: Messenger) -> Any:
        """A trace of several draws at once, with the latents of another trace if one is given."""
        for handler in handlers:
            function = handler(function)
        for trace in (given, self.fixed):
            if trace is not None:
                function = poutine.replay(function, trace=trace)
        if not (self.vectorised and self.plate_dim):
            return poutine.trace(function).get_trace(*self.args, **self.kwargs)
        drawn = pyro.plate(_DRAWS, count, dim=self.plate_dim)(function)
        try:
            return poutine.trace(drawn).get_trace(*self.args, **self.kwargs)
        except (RuntimeError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model and guide cannot make {count} draws at once; leave parallel=False ({reason})"
            ) from error

    def _keep(self, store: _Store, group: str, trace: Any, at: int, count: int, *kinds: Any, names: Any = None) -> None:
        """Store values of the trace's sites, chosen by kind or by name."""
        for name in [name for name, kind in self.kinds.items() if kind in kinds] if names is None else names:
            if name not in trace.nodes:
                raise UserError(f"site '{name}' is in some draws and not in others; a tree needs the same sites in all")
            store.put(group, name, self.layouts[name].values(name, trace.nodes[name]["value"], count), at)

    def _keep_densities(
        self, store: _Store, name: str, sites: dict[str, dict], layouts: dict[str, Layout], at: int, count: int
    ) -> None:
        """Store a density by datum and as a whole."""
        if sites.keys() - layouts.keys():
            raise UserError(f"site '{min(sites.keys() - layouts.keys())}' is in some draws and not in others")
        joint: Tensor = torch.zeros(count, dtype=torch.float64)
        per_datum: Tensor = torch.zeros(count, 1, dtype=torch.float64)
        for site_name, site in sites.items():
            layout = layouts[site_name]
            density = layout.log_density(site_name, log_density_of(site), count).double().cpu()
            joint = joint + density.reshape(count, -1).sum(1)
            if self.data_plate in layout.plates:
                by_datum = density.movedim(1 + layout.plates.index(self.data_plate), 1)
                per_datum = per_datum + by_datum.reshape(*by_datum.shape[:2], -1).sum(2)
        if self.per_datum:
            store.put("sample_stats", name, per_datum, at)
        if not self.subsampled:
            store.put("sample_stats", f"{name}_joint", joint, at)

    def _data_plate(self, given: str | None, model_trace: Any) -> str | None:
        if given is not None and given not in self.plates:
            raise UserError(f"there is no plate '{given}'; the model's are: {', '.join(self.plates) or 'none'}")
        plates = [set(self.layouts[name].plates) for name in sites_of(model_trace, "observed")]
        shared = set.intersection(*plates) - {None} if plates else set()
        return given if given is not None else next(iter(shared)) if len(shared) == 1 else None

    def _has_densities_per_datum(self, model_trace: Any, guide_trace: Any) -> bool:
        """Whether latents of the data plate have densities of their own in the guide."""
        if self.data_plate is None:
            return False
        drawn = sites_of(guide_trace, "latent")
        inside = {name for name, site in drawn.items() if frame_of(site, self.data_plate) is not None}
        auxiliary = {name for name, site in drawn.items() if site["infer"].get("is_auxiliary", False)}
        local = inside & sites_of(model_trace, "latent").keys()
        # Points without an auxiliary site each beside them may be parts of one draw outside, as those of
        # AutoMultivariateNormal are; their density is that draw's.
        points = {name for name in local if is_point(drawn[name]["fn"])}
        return bool(local) and not (auxiliary - inside and len(auxiliary & inside) < len(points))


class _Store:
    """Arrays that are filled from the first draw to the last, by group and variable.

    Args:
        num_draws: how many there will be.
    """

    def __init__(self, num_draws: int) -> None:
        self.num_draws = num_draws
        self.groups: dict[str, dict[str, np.ndarray]] = {}

    def chunks(self, size: int) -> list[tuple[int, int]]:
        """The first draw of every chunk and the number of its draws."""
        return [(at, min(size, self.num_draws - at)) for at in range(0, self.num_draws, size)]

    def put(self, group: str, name: str, values: Tensor, at: int) -> None:
        """Store the values [count, ...] of the draws from ``at`` on."""
        array = values.detach().cpu().numpy()
        held = self.groups.setdefault(group, {})
        if name not in held:
            held[name] = np.empty((1, self.num_draws, *array.shape[1:]), array.dtype)
        held[name][0, at : at + len(array)] = array


class _DataForgotten(Messenger):
    """Draws the observed sites anew; factors and deterministic values stay what the model makes of them."""

    def _pyro_sample(self, msg: Any) -> None:
        if kind_of(msg) == "observed":
            msg["is_observed"], msg["value"], msg["done"] = False, None, False


def _densities(trace: Any) -> dict[str, dict]:
    """The sites that a density consists of."""
    return sites_of(trace, "latent", "observed", "factor")


def _check_latents(model_trace: Any, guide_trace: Any) -> None:
    drawn = sites_of(guide_trace, "latent")
    for name, site in sites_of(model_trace, "latent").items():
        if name in drawn:
            continue
        if getattr(site["fn"], "has_enumerate_support", False):
            raise UserError(
                f"the guide does not sample the discrete latent '{name}', which was summed out in training; let the "
                "guide sample it, or sum it out in the model's likelihood"
            )
        raise UserError(f"the guide does not sample the model's latent '{name}'; give the guide a site of that name")
    model_latents = sites_of(model_trace, "latent")
    for name, site in drawn.items():
        if name not in model_latents and not site["infer"].get("is_auxiliary", False):
            raise UserError(
                f"the guide samples '{name}', which is no latent of the model; "
                "leave it out, or mark it with infer={'is_auxiliary': True}"
            )

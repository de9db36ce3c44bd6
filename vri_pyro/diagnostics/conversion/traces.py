"""Helpers for Pyro traces: kinds of sites, names of axes, and log densities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import site_is_factor, site_is_subsample
from torch import Tensor

from vri_pyro.diagnostics.conversion.errors import ConversionError

Site = Any  # a Pyro message: a dict with values of many types


def stochastic(trace: Any) -> dict[str, Site]:
    """Return the sample sites, without subsampling indices and deterministic values."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site) and not is_deterministic(site)
    }


def is_deterministic(site: Site) -> bool:
    """Whether a site only records a value: ``pyro.deterministic``, or a latent replaced by ``poutine.reparam``.

    Both are observed ``Delta`` sites whose log density is masked out.
    """
    fn = site["fn"]
    masked = isinstance(fn, dist.MaskedDistribution) and fn._mask is False
    return bool(site["infer"].get("_deterministic")) or (masked and isinstance(fn.base_dist, dist.Delta))


def latent(trace: Any) -> dict[str, Site]:
    """Return the latent sites: stochastic, not observed and not auxiliary."""
    sites = stochastic(trace).items()
    return {n: s for n, s in sites if not s["is_observed"] and not s["infer"].get("is_auxiliary")}


def observed(trace: Any) -> dict[str, Site]:
    """Return the observed sites that represent data, which excludes factors."""
    return {n: s for n, s in stochastic(trace).items() if s["is_observed"] and not site_is_factor(s)}


def deterministic(trace: Any) -> dict[str, Site]:
    """Return the deterministic sites: from ``pyro.deterministic``, or latents that were reparameterised."""
    return {n: s for n, s in trace.nodes.items() if s["type"] == "sample" and is_deterministic(s)}


def subsamples(trace: Any) -> dict[str, Any]:
    """Return the subsample indices of each plate in a trace, by name of the plate."""
    sites = trace.nodes.items()
    return {
        n: s["value"] for n, s in sites if s["type"] == "sample" and site_is_subsample(s) and s["value"] is not None
    }


def array(value: Any) -> np.ndarray:
    """Convert an array-like, or a tensor on any device and of any precision, to a NumPy array."""
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def value(site: Site) -> Tensor:
    """Return a site's value; an observation is expanded to its distribution's shape."""
    if is_deterministic(site) or not site["is_observed"]:
        return site["value"]
    return site["value"].expand(torch.broadcast_shapes(site["value"].shape, site["fn"].shape()))


def is_point(site: Site) -> bool:
    """Whether a site's distribution is a point mass."""
    fn = site["fn"]
    while hasattr(fn, "base_dist") and not isinstance(fn, dist.Delta):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def log_prob(site: Site) -> Tensor:
    """Return a site's log density, [batch shape], with its mask and without its scale."""
    value = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(value, mask=site["mask"])


def log_density(site: Site) -> Tensor:
    """Return a site's log density, [batch shape], with its mask and scales but without subsampling's scale.

    A ``poutine.scale`` is part of the model's density of an example, for instance as the weight of a likelihood. The
    scale of a subsampling plate is not: it extrapolates from the subsample to all examples.
    """
    scale = site["scale"]
    for frame in site["cond_indep_stack"]:
        if frame.full_size and frame.size > 0:
            scale = scale * (frame.size / frame.full_size)
    value = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(value, scale=scale, mask=site["mask"])


def plates(site: Site) -> list[Any]:
    """Return the vectorised plates of a site, outermost first."""
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized]


def over_all_but(frame: Any, log_probs: Tensor) -> Tensor:
    """Sum log densities [draws, batch shape] over all axes except draws and one plate: [draws, plate size]."""
    lead, batch = log_probs.shape[0], log_probs.shape[1:]
    batch = torch.broadcast_shapes(batch, (frame.size, *[1] * (-frame.dim - 1)))
    log_probs = log_probs.reshape(lead, *[1] * (len(batch) - log_probs.dim() + 1), *log_probs.shape[1:])
    log_probs = log_probs.expand(lead, *batch)
    others = [axis for axis in range(-len(batch), 0) if axis != frame.dim]
    return log_probs.sum(others) if others else log_probs


def choose_data_plate(trace: Any, asked: str | None) -> Any:
    """Return the plate over data, or None if there is none.

    Args:
        trace: trace of the model.
        asked: name of the plate. When None, the outermost plate that contains every observed site is used.

    Raises:
        ConversionError: the model has no plate with that name.
    """
    frames = {frame.name: frame for site in stochastic(trace).values() for frame in plates(site)}
    if asked is not None:
        if asked not in frames:
            there = ", ".join(sorted(frames)) or "none"
            raise ConversionError(
                f"the model has no plate '{asked}' (its plates: {there}); set data_plate to one of them or to None"
            )
        return frames[asked]
    sites = list(observed(trace).values())
    for frame in plates(sites[0]) if sites else []:
        if all(frame.name in {other.name for other in plates(site)} for site in sites):
            return frame
    return None


@dataclass(frozen=True)
class Axes:
    """Names of the axes of a site's values or log density.

    Attributes:
        names: name of each axis. An axis of size 1 that belongs to no plate has no name and is dropped from the values.
        sizes: size of each axis.
    """

    names: tuple[str | None, ...]
    sizes: tuple[int, ...]

    @property
    def kept(self) -> list[str]:
        """Names of the axes that are not dropped."""
        return [name for name in self.names if name is not None]

    def values(self, value: Tensor) -> np.ndarray:
        """Return values [draws, *axes] as an array without the dropped axes, [draws, ...]."""
        dropped = tuple(axis + 1 for axis, name in enumerate(self.names) if name is None)
        return array(value.squeeze(dropped))


class AxisNames:
    """Names axes after their plates and event dimensions.

    Args:
        trace: trace of the model, from which the plates' coordinates are read.
        taken: names of variables and sample dimensions. "_plate" is appended to the name of a plate that is among them.
        events: names of the event dimensions by site. The default names are ``site_dim_0`` and so on.
        whole: names of all dimensions by site, in place of the plates and the event dimensions.

    Attributes:
        coordinates: coordinate values by plate dimension.
        full_sizes: full sizes of the plates that use subsamples.
    """

    def __init__(
        self,
        trace: Any,
        taken: Iterable[str],
        events: Mapping[str, Sequence[str]],
        whole: Mapping[str, Sequence[str]],
    ) -> None:
        self._taken, self._events, self._whole = set(taken), events, whole
        self._indices = subsamples(trace)
        self.coordinates: dict[str, np.ndarray] = {}
        self.full_sizes: dict[str, int] = {}

    def plate(self, frame: Any) -> str:
        """Return the dimension name of a plate, and record the plate's indices as its coordinates."""
        name = f"{frame.name}_plate" if frame.name in self._taken else frame.name
        self.coordinates[name] = np.arange(frame.size)
        if frame.name in self._indices:
            indices = array(self._indices[frame.name])
            if indices.shape == (frame.size,) and indices.dtype.kind in "iu":  # Pyro also accepts a batch as subsample
                self.coordinates[name], self.full_sizes[name] = indices, frame.full_size
        return name

    def of_log_prob(self, name: str, site: Site) -> Axes:
        """Return the axes of a site's log density."""
        sizes = tuple(log_prob(site).shape)
        return Axes(self._renamed(name, self._batch(name, site, sizes), partly=True), sizes)

    def of_values(self, name: str, site: Site) -> Axes:
        """Return the axes of a site's values.

        Raises:
            ConversionError: the number of names given differs from the number of event dimensions.
        """
        shape, event_dim = tuple(value(site).shape), len(site["fn"].event_shape)
        if is_deterministic(site) and event_dim >= len(shape):
            event_dim = self._undeclared_event_dim(name, site)
        batch = self._batch(name, site, shape[: len(shape) - event_dim])
        unnamed = sum(each == f"{name}_dim_{axis}" for axis, each in enumerate(batch))
        events = self._events.get(name, [f"{name}_dim_{unnamed + axis}" for axis in range(event_dim)])
        if len(events) != event_dim:
            raise ConversionError(
                f"extra_event_dims names {len(events)} dimensions of '{name}' ({', '.join(events)}), but the site has "
                f"{event_dim} event dimensions; name each event dimension and no plate"
            )
        return Axes(self._renamed(name, [*batch, *events]), shape)

    def _renamed(self, name: str, names: Sequence[str | None], partly: bool = False) -> tuple[str | None, ...]:
        """Replace the names of a site's axes by those given for all of its dimensions.

        Args:
            name: the site.
            names: names of the axes; None for an axis that is dropped.
            partly: whether the axes are only the first ones of the site, as for its log density.
        """
        if name not in self._whole:
            return tuple(names)
        given, kept = list(self._whole[name]), [each for each in names if each is not None]
        if len(given) < len(kept) or (len(given) > len(kept) and not partly):
            raise ConversionError(
                f"dims names {len(given)} dimensions of '{name}' ({', '.join(given)}), but the site has {len(kept)}; "
                "name all dimensions in dims, or only the event dimensions in extra_event_dims"
            )
        return tuple(None if each is None else given.pop(0) for each in names)

    def _batch(self, name: str, site: Site, shape: Sequence[int]) -> list[str | None]:
        frames = {frame.dim: frame for frame in plates(site)}
        names: list[str | None] = []
        for axis, size in enumerate(shape):
            frame = frames.get(axis - len(shape))
            if frame is not None and size == frame.size:
                names.append(self.plate(frame))
            else:
                names.append(None if size == 1 else f"{name}_dim_{axis}")
        return names

    def _undeclared_event_dim(self, name: str, site: Site) -> int:
        """Infer the number of event dimensions of a deterministic site without ``event_dim``.

        It is the number of names in ``events`` if there are any. Otherwise it is the number for which the most plates
        match the shape. Ties go to the number that leaves the fewest axes to the left of all plates, then to the least.
        """
        shape, frames = site["value"].shape, plates(site)
        if name in self._events:
            return min(len(self._events[name]), len(shape))
        best, event_dim = (0, 0), len(shape)
        for candidate in range(len(shape)):
            batch = shape[: len(shape) - candidate]
            inside = [frame for frame in frames if -frame.dim <= len(batch)]
            if any(batch[frame.dim] not in (1, frame.size) for frame in inside):
                continue
            fitting = sum(batch[frame.dim] == frame.size for frame in inside)
            beside = len(batch) - max((-frame.dim for frame in inside), default=0)
            if fitting and (fitting, -beside) > best:
                best, event_dim = (fitting, -beside), candidate
        return event_dim

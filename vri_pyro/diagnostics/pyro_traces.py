"""Reading Pyro's traces: which sites are what, what their axes are called, and what they add to a log density."""

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

from vri_pyro.infer.elbo import is_deterministic, stochastic
from vri_pyro.utils.errors import UserError

Site = Any  # Pyro's messages, dicts in which every value has a type of its own


def latent(trace: Any) -> dict[str, Site]:
    """The stochastic sites that were not observed, but for a guide's auxiliary ones."""
    sites = stochastic(trace).items()
    return {n: s for n, s in sites if not s["is_observed"] and not s["infer"].get("is_auxiliary")}


def observed(trace: Any) -> dict[str, Site]:
    """The observed sites that stand for data; a factor does not."""
    return {n: s for n, s in stochastic(trace).items() if s["is_observed"] and not site_is_factor(s)}


def deterministic(trace: Any) -> dict[str, Site]:
    """What the model computes on the way, by ``pyro.deterministic`` or from what a latent was reparameterised to."""
    return {n: s for n, s in trace.nodes.items() if s["type"] == "sample" and is_deterministic(s)}


def subsamples(trace: Any) -> dict[str, Any]:
    """The indices that each plate of a trace works on, by the plate's name."""
    sites = trace.nodes.items()
    return {
        n: s["value"] for n, s in sites if s["type"] == "sample" and site_is_subsample(s) and s["value"] is not None
    }


def array(value: Any) -> np.ndarray:
    """Anything array-like, a tensor on any device and of any precision too, as NumPy has it."""
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def value(site: Site) -> Tensor:
    """A site's values in full: an observation that its distribution repeats is repeated."""
    if is_deterministic(site) or not site["is_observed"]:
        return site["value"]
    return site["value"].expand(torch.broadcast_shapes(site["value"].shape, site["fn"].shape()))


def is_point(site: Site) -> bool:
    """Whether a site's distribution is all in one point."""
    fn = site["fn"]
    while hasattr(fn, "base_dist") and not isinstance(fn, dist.Delta):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def log_prob(site: Site) -> Tensor:
    """A site's log density as its distribution has it, [batch shape]: masked, but not scaled."""
    value = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(value, mask=site["mask"])


def log_density(site: Site) -> Tensor:
    """A site's log density as the model counts it, [batch shape]: masked, and with scales, but not subsampling's.

    The model's own ``poutine.scale`` is a part of what it says of an example, such as the share of a likelihood; a
    plate that subsamples only makes the examples there stand for all.
    """
    scale = site["scale"]
    for frame in site["cond_indep_stack"]:
        if frame.full_size and frame.size > 0:
            scale = scale * (frame.size / frame.full_size)
    value = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(value, scale=scale, mask=site["mask"])


def plates(site: Site) -> list[Any]:
    """The vectorised plates that a site is in, the outermost first."""
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized]


def over_all_but(frame: Any, log_probs: Tensor) -> Tensor:
    """Log densities [draws, batch shape] summed over everything but the draws and a plate, [draws, plate's size]."""
    lead, batch = log_probs.shape[0], log_probs.shape[1:]
    batch = torch.broadcast_shapes(batch, (frame.size, *[1] * (-frame.dim - 1)))
    log_probs = log_probs.reshape(lead, *[1] * (len(batch) - log_probs.dim() + 1), *log_probs.shape[1:])
    log_probs = log_probs.expand(lead, *batch)
    others = [axis for axis in range(-len(batch), 0) if axis != frame.dim]
    return log_probs.sum(others) if others else log_probs


def choose_data_plate(trace: Any, asked: str | None) -> Any:
    """The plate over data: the one asked for, or the outermost that holds every observed site; None without one.

    Raises:
        UserError: the plate asked for is not there.
    """
    frames = {frame.name: frame for site in stochastic(trace).values() for frame in plates(site)}
    if asked is not None:
        if asked not in frames:
            there = ", ".join(sorted(frames)) or "none"
            raise UserError(f"the model has no plate '{asked}' (its plates: {there}); name one of those")
        return frames[asked]
    sites = list(observed(trace).values())
    for frame in plates(sites[0]) if sites else []:
        if all(frame.name in {other.name for other in plates(site)} for site in sites):
            return frame
    return None


@dataclass(frozen=True)
class Axes:
    """What the axes of a site's values, or of its log density, are called.

    Attributes:
        names: by axis; axes of size 1 that no plate accounts for have none, and are left out of the values.
        sizes: by axis.
    """

    names: tuple[str | None, ...]
    sizes: tuple[int, ...]

    @property
    def kept(self) -> list[str]:
        """The names of those that stay."""
        return [name for name in self.names if name is not None]

    def values(self, value: Tensor) -> np.ndarray:
        """The values [draws, these axes] on those that stay, [draws, ...], as an array."""
        dropped = tuple(axis + 1 for axis, name in enumerate(self.names) if name is None)
        return array(value.squeeze(dropped))


class AxisNames:
    """Names axes after the plates and the event dimensions that they are.

    Args:
        trace: of the model, whose plates have their coordinates in it.
        taken: names of variables and of sample dimensions; a plate of such a name gets "_plate" behind it.
        events: names of a site's event dimensions, by site; ``site_dim_0`` and so on where none are given.
    """

    def __init__(self, trace: Any, taken: Iterable[str], events: Mapping[str, Sequence[str]]) -> None:
        self._taken, self._events = set(taken), events
        self._indices = subsamples(trace)
        self.coordinates: dict[str, np.ndarray] = {}
        self.full_sizes: dict[str, int] = {}  # of plates that work on subsamples

    def plate(self, frame: Any) -> str:
        """The dimension of a plate; its coordinates are the indices that the plate works on."""
        name = f"{frame.name}_plate" if frame.name in self._taken else frame.name
        self.coordinates[name] = np.arange(frame.size)
        if frame.name in self._indices:
            indices = array(self._indices[frame.name])
            if indices.shape == (frame.size,) and indices.dtype.kind in "iu":  # Pyro lets a batch itself stand there
                self.coordinates[name], self.full_sizes[name] = indices, frame.full_size
        return name

    def of_log_prob(self, name: str, site: Site) -> Axes:
        """The axes of a site's log density."""
        sizes = tuple(log_prob(site).shape)
        return Axes(tuple(self._batch(name, site, sizes)), sizes)

    def of_values(self, name: str, site: Site) -> Axes:
        """The axes of a site's values.

        Raises:
            UserError: another number of names was given for the event dimensions.
        """
        shape, event_dim = tuple(value(site).shape), len(site["fn"].event_shape)
        if is_deterministic(site) and event_dim >= len(shape):
            event_dim = self._undeclared_event_dim(name, site)
        batch = self._batch(name, site, shape[: len(shape) - event_dim])
        unnamed = sum(each == f"{name}_dim_{axis}" for axis, each in enumerate(batch))
        events = self._events.get(name, [f"{name}_dim_{unnamed + axis}" for axis in range(event_dim)])
        if len(events) != event_dim:
            raise UserError(
                f"dims names {len(events)} dimensions of '{name}' ({', '.join(events)}) but its events have "
                f"{event_dim}; name as many, and leave plates out"
            )
        return Axes((*batch, *events), shape)

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
        """That of a deterministic value whose author gave none: as named, or under which most of its plates fit.

        Of those, the one that leaves the fewest axes to the left of all plates, and then the least.
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

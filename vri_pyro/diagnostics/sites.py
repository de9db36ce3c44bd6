"""What the sites of a Pyro trace are, and where the values of one lie: in which plates, and with which event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pyro.distributions import Delta
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import site_is_factor, site_is_subsample
from torch import Tensor

from vri_pyro.errors import UserError

Kind = Literal["latent", "observed", "deterministic", "factor", "subsample", "other"]


def kind_of(site: Any) -> Kind:
    """What a site of a trace stands for; a factor is evidence without a value, "other" no site of probability."""
    if site["type"] != "sample":
        return "other"
    if site_is_subsample(site):
        return "subsample"
    if site["infer"] and site["infer"].get("_deterministic", False):
        return "deterministic"
    if site_is_factor(site):
        return "factor"
    return "observed" if site["is_observed"] else "latent"


def sites_of(trace: Any, *kinds: Kind) -> dict[str, dict]:
    """The trace's sites of some kinds, by name."""
    return {name: site for name, site in trace.nodes.items() if kind_of(site) in kinds}


def frame_of(site: Any, plate: str | None) -> Any:
    """The site's entry of a vectorised plate; None where it is not inside."""
    return next((f for f in site["cond_indep_stack"] if f.vectorized and f.name == plate), None)


def is_point(distribution: Any) -> bool:
    """Whether it is a point mass."""
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return isinstance(distribution, Delta)


@dataclass(frozen=True)
class Layout:
    """The dimensions of one draw of a site, from left to right.

    Dimensions of the batch that have size 1 and belong to no plate only make room for plates, and are left out.

    Attributes:
        padded: the batch shape with those dimensions.
        batch: the batch shape without them.
        plates: the plate of each dimension of ``batch``, by name; None for one that is in no plate.
        event: the event shape.
    """

    padded: tuple[int, ...]
    batch: tuple[int, ...]
    plates: tuple[str | None, ...]
    event: tuple[int, ...]

    def values(self, name: str, tensor: Tensor, count: int) -> Tensor:
        """A site's values for several draws at once, [count, *batch, *event].

        Raises:
            UserError: the tensor is not that many draws of this layout, nor one that they share.
        """
        return _reshaped(name, tensor, count, self.padded + self.event, self.batch + self.event)

    def log_density(self, name: str, tensor: Tensor, count: int) -> Tensor:
        """As :meth:`values`, of what has no event: [count, *batch]."""
        return _reshaped(name, tensor, count, self.padded, self.batch)


def layout_of(site: Any) -> Layout:
    """The layout of a site in a trace of a single draw."""
    value, frames = torch.as_tensor(site["value"]), {f.dim: f for f in site["cond_indep_stack"] if f.vectorized}
    if kind_of(site) == "deterministic":
        shape, event_dim = value.shape, _event_dim_of_deterministic(value, site["fn"].event_dim, frames)
    elif kind_of(site) == "factor":
        shape, event_dim = site["fn"].batch_shape, 0
    else:
        shape, event_dim = torch.broadcast_shapes(value.shape, site["fn"].shape()), site["fn"].event_dim
    padded, event = tuple(shape[: len(shape) - event_dim]), tuple(shape[len(shape) - event_dim :])
    kept = []
    for position, size in enumerate(padded):
        frame = frames.get(position - len(padded))
        plate = frame.name if frame is not None and frame.size == size else None
        if plate is not None or size != 1:
            kept.append((size, plate))
    return Layout(padded, tuple(size for size, _ in kept), tuple(plate for _, plate in kept), event)


def log_density_of(site: Any) -> Tensor:
    """A site's log-density, with its mask and the model's own scale but not that of subsampling, [*batch].

    Subsampling scales a site up, so that the examples there stand for all; what is said of one example must not be.
    """
    log_density = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    scale = site["scale"]
    for frame in site["cond_indep_stack"]:
        if frame.full_size and frame.size > 0:
            scale = scale * (frame.size / frame.full_size)
    return scale_and_mask(log_density, scale, site["mask"])


def log_likelihood_of(site: Any) -> Tensor:
    """An observed site's log-density, masked and unscaled, [*batch]."""
    return scale_and_mask(site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"]), 1.0, site["mask"])


def _event_dim_of_deterministic(value: Tensor, declared: int, frames: dict[int, Any]) -> int:
    """The event dimensions of a deterministic site; one that declares none is taken to fill its plates."""
    if declared < value.dim():
        return declared
    for event_dim in range(value.dim()):
        batch = value.shape[: value.dim() - event_dim]
        if all(len(batch) >= -dim and batch[dim] == frame.size for dim, frame in frames.items()):
            return event_dim if frames else declared
    return declared


def _reshaped(name: str, tensor: Tensor, count: int, padded: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    tensor = torch.as_tensor(tensor)
    size = torch.Size(padded).numel()
    if tensor.numel() == count * size:
        return tensor.reshape(count, *shape)
    if tensor.numel() == size:
        return tensor.reshape(shape).expand(count, *shape)
    if tensor.dim() <= len(padded):
        return tensor.expand(padded).reshape(shape).expand(count, *shape)
    raise UserError(
        f"site '{name}' has shape {list(tensor.shape)} for {count} draws of {list(padded)}; its shape must not "
        "change from draw to draw, and for draws at once (parallel=True) every batch dimension needs a plate"
    )

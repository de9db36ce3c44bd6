"""Log p and log q of draws, per datum if guide and model both factorise over the data plate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.traces import Site
from vri_pyro.diagnostics.conversion.variables import by_draw, changing, in_arviz

POINT_MASSES, GLOBALS, PART = "point_masses", "global_latents", "subsample"  # attributes of sample_stats


class Densities:
    """Computes log p and log q of draws, without subsampling's scale.

    Args:
        guided: trace of the guide.
        modelled: trace of the model.
        plate: the data plate, or None. If there is one, the densities of the sites inside it are computed per datum and
            those of the sites outside it separately.
    """

    def __init__(self, guided: Any, modelled: Any, plate: Any) -> None:
        self._plate = plate
        self._axes = {
            name: {n: traces.log_density(site).dim() for n, site in traces.stochastic(trace).items()}
            for name, trace in (("log_p", modelled), ("log_q", guided))
        }

    def __call__(self, guided: Any, modelled: Any, count: int) -> dict[str, np.ndarray]:
        """Return log p and log q of ``count`` draws, [count] or [count, plate size], and of global sites, [count]."""
        inside: dict[str, Any] = dict.fromkeys(("log_p", "log_q"), torch.zeros(()))
        outside: dict[str, Any] = {}
        for name, trace in (("log_p", modelled), ("log_q", guided)):
            for site_name, site in traces.stochastic(trace).items():
                if site_name not in self._axes[name]:
                    raise changing(site_name)
                value = by_draw(site_name, traces.log_density(site), self._axes[name][site_name], count)
                frame = next((f for f in traces.plates(site) if self._plate and f.name == self._plate.name), None)
                term = value.reshape(count, -1).sum(1) if frame is None else traces.over_all_but(frame, value)
                if self._plate is None or frame is not None:
                    inside[name] = inside[name] + term
                else:
                    outside[f"{name}_global"] = outside.get(f"{name}_global", 0.0) + term
        if outside:
            outside = dict.fromkeys(("log_p_global", "log_q_global"), torch.zeros(())) | outside
        shape = (count,) if self._plate is None else (count, self._plate.size)
        arrays = {name: np.broadcast_to(traces.array(value), shape) for name, value in inside.items()}
        return arrays | {n: np.broadcast_to(traces.array(value), (count,)) for n, value in outside.items()}


def factorising_plate(guided: Any, modelled: Any, asked: str | None) -> Any:
    """Return the plate over data, or None if guide and model do not both factorise over it.

    Raises:
        ConversionError: ``asked`` names a plate that the model does not have, or over which the guide does not
            factorise.
    """
    plate = traces.choose_data_plate(modelled, asked)
    if plate is None:
        return None

    def inside(sites: Mapping[str, Site]) -> list[str]:
        return [n for n, site in sites.items() if plate.name in {frame.name for frame in traces.plates(site)}]

    auxiliary = {n: s for n, s in traces.stochastic(guided).items() if s["infer"].get("is_auxiliary")}
    made = [name for name in inside(traces.latent(guided)) if traces.is_point(guided.nodes[name])]
    drawn_inside = set(inside(traces.latent(modelled))) <= set(inside(traces.latent(guided)))
    # A point-mass latent can be computed from auxiliary sites, as in Pyro's autoguides, which then carry its density.
    # Its density counts as inside if all auxiliary sites are inside, or at least as many as there are point masses.
    density_inside = len(made) <= len(inside(auxiliary)) or len(inside(auxiliary)) == len(auxiliary)
    if drawn_inside and density_inside:
        return plate
    if asked is not None:
        raise ConversionError(
            f"the guide does not factorise over '{asked}' as the model does, so it has no density per datum; leave "
            "data_plate out"
        )
    return None


def attributes_of(guided: Any, again: Any, plate: Any) -> dict[str, str]:
    """Return the attributes of ``sample_stats``, from two traces of the guide and the data plate."""
    found = {POINT_MASSES: "\n".join(map(in_arviz, _points(guided, again))), GLOBALS: ""}
    if plate is None:
        return found
    latents = traces.latent(guided).items()
    outside = [name for name, site in latents if plate.name not in {frame.name for frame in traces.plates(site)}]
    found[GLOBALS] = "\n".join(map(in_arviz, outside))
    if plate.full_size and plate.size < plate.full_size:
        found[PART] = f"{plate.size} of {plate.full_size}"
    return found


def _points(guided: Any, again: Any) -> list[str]:
    """Point-mass latents with equal values in two traces, which excludes those computed from auxiliary draws."""
    sites, others = traces.latent(guided), traces.latent(again)
    points = [name for name, site in sites.items() if traces.is_point(site) and name in others]
    return [name for name in points if torch.equal(sites[name]["value"], others[name]["value"])]


def names_in(attribute: str) -> list[str]:
    """Split an attribute of ``sample_stats`` into names.

    The attributes are described at :func:`~vri_pyro.diagnostics.from_pyro_svi`.
    """
    return attribute.splitlines()

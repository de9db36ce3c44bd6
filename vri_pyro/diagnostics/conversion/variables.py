"""Convert a model's sites to arrays with named axes and leading draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.traces import Axes, AxisNames, Site

GROUPS = (
    "posterior",
    "posterior_predictive",
    "log_likelihood",
    "log_prior",
    "sample_stats",
    "prior",
    "prior_predictive",
)
DENSITIES = ("log_p", "log_q", "log_p_global", "log_q_global")


def in_arviz(name: str) -> str:
    """Return a name that ArviZ accepts: it reserves "/" for paths."""
    return name.replace("/", ".")


class Variables:
    """Converts sites to variables with named axes.

    Args:
        modelled: trace of the model.
        dims: names of all dimensions by site and by array of constant data.
        events: names of event dimensions by site.
        sample_dims: names of the dimensions of the draws.
    """

    def __init__(
        self,
        modelled: Any,
        dims: Mapping[str, Sequence[str]],
        events: Mapping[str, Sequence[str]],
        sample_dims: Sequence[str],
    ) -> None:
        self._dims = dims
        sites = traces.stochastic(modelled) | traces.deterministic(modelled)
        self._names = AxisNames(modelled, {*sample_dims, *DENSITIES, *sites}, events, dims)
        self._axes = {name: self._names.of_values(name, site) for name, site in sites.items()}
        with_density = traces.observed(modelled) | traces.latent(modelled)
        self._log_axes = {name: self._names.of_log_prob(name, site) for name, site in with_density.items()}

    def values(self, sites: Mapping[str, Site], count: int) -> dict[str, np.ndarray]:
        """Return the values of sites, [count, ...]."""
        return {name: _on(self._axes, name, traces.value(site), count) for name, site in sites.items()}

    def log_probs(self, sites: Mapping[str, Site], count: int) -> dict[str, np.ndarray]:
        """Return the unscaled log densities of sites, [count, ...]."""
        return {name: _on(self._log_axes, name, traces.log_prob(site), count) for name, site in sites.items()}

    def dims(self, group: str, variables: Iterable[str], plate: Any) -> dict[str, list[str]]:
        """Return the dimensions of a group's variables, without those of the draws."""
        if group == "constant_data":
            return {name: list(self._dims.get(name, ())) for name in variables}
        if group == "sample_stats":
            of_data = [] if plate is None else [self._names.plate(plate)]
            return {name: [] if name.endswith("_global") else of_data for name in variables}
        axes = self._log_axes if group in ("log_likelihood", "log_prior") else self._axes
        return {name: axes[name].kept for name in variables}

    def coordinates(self, given: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
        """Return the coordinates of all dimensions.

        Args:
            given: the user's coordinates by dimension.
            sizes: sizes of the dimensions.

        Raises:
            ConversionError: coordinates are given for an unknown dimension, or are not a list of the dimension's size.
        """
        found = {name: traces.array(values) for name, values in given.items()}
        for name, values in found.items():
            if values.ndim != 1:
                raise ConversionError(f"coords of '{name}' have {values.ndim} dimensions; expected a list of values")
            if name not in sizes:
                raise ConversionError(
                    f"coords has '{name}', which is not a dimension; choose from {', '.join(sorted(sizes))}"
                )
            if len(values) == self._names.full_sizes.get(name):
                found[name] = values = values[self._names.coordinates[name]]
            if len(values) != sizes[name]:
                raise ConversionError(f"coords has {len(values)} values for '{name}', which has size {sizes[name]}")
        return self._names.coordinates | found


class Kept:
    """Stores the requested groups as arrays [draws, ...] by group and variable, filled chunk by chunk."""

    def __init__(self, groups: Collection[str], num_samples: int) -> None:
        self._asked, self._num_samples = groups, num_samples
        self.groups: dict[str, dict[str, np.ndarray]] = {}

    def write(self, group: str, start: int, values: Mapping[str, np.ndarray]) -> None:
        """Store values [count, ...] as the draws from position ``start`` on; groups not requested are ignored."""
        if group not in self._asked:
            return
        if start == 0:
            shapes = {name: (self._num_samples, *value.shape[1:]) for name, value in values.items()}
            self.groups[group] = {name: np.empty(shapes[name], value.dtype) for name, value in values.items()}
        kept = self.groups[group]
        for name in kept.keys() | values.keys():
            if name not in kept or name not in values or kept[name].shape[1:] != values[name].shape[1:]:
                raise changing(name)
            kept[name][start : start + len(values[name])] = values[name]


def _on(axes: Mapping[str, Axes], name: str, value: Tensor, count: int) -> np.ndarray:
    if name not in axes:
        raise changing(name)
    values = by_draw(name, value, len(axes[name].names), count)
    if values.shape[1:] != axes[name].sizes:
        raise changing(name)
    return axes[name].values(values)


def by_draw(name: str, value: Tensor, axes: int, count: int) -> Tensor:
    """Reshape the values of ``count`` vectorised draws, with ``axes`` axes per draw, to [count, ...]."""
    if value.dim() < axes or (count == 1 and value.dim() > axes):
        raise changing(name)
    own = value.shape[value.dim() - axes :]
    if value.dim() == axes:  # the same in every draw
        return value.expand(count, *own)
    if value.numel() != count * own.numel():
        raise changing(name)
    return value.reshape(count, *own)


def changing(name: str) -> ConversionError:
    """Return the error for a site that is missing or has another shape in some draws."""
    return ConversionError(
        f"site '{name}' is missing or has another shape in some draws; ArviZ needs rectangular arrays, so the model "
        "must have the same sites in every run"
    )

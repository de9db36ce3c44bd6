"""From a Pyro model and its guide to ArviZ: draws, predictions and densities as an xarray.DataTree."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch

from vri_pyro.diagnostics import pyro_traces as traces
from vri_pyro.diagnostics.conversion.checks import (
    as_array,
    check_draws_at_once,
    check_names,
    check_options,
    check_predictions,
)
from vri_pyro.diagnostics.conversion.densities import Densities, attributes_of, factorising_plate
from vri_pyro.diagnostics.conversion.pair import Pair
from vri_pyro.diagnostics.conversion.variables import GROUPS, SAMPLE_DIMS, Kept, Variables, in_arviz
from vri_pyro.utils.errors import UserError

if TYPE_CHECKING:
    from xarray import DataTree

_Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by group and variable
_Dims = Mapping[str, Mapping[str, Sequence[str]]]


@torch.no_grad()
def from_pyro_svi(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    num_draws: int = 1000,
    chunk_size: int = 1,
    groups: Collection[str] = GROUPS,
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Any] | None = None,
    constant_data: Mapping[str, Any] | None = None,
    data_plate: str | None = None,
    **kwargs: Any,
) -> DataTree:
    """Draw from a guide and tell ArviZ what it is: the converter for Pyro's variational inference.

    Dimensions are named after the plates that a site is in, and after its event dimensions; a plate that works on a
    subsample has that subsample's indices for coordinates, and works on the same one in every draw. Draws are written
    in place: beside the result, memory is needed for one chunk. Pyro's random state moves on, and networks run as they
    are: call their ``eval`` before, or every draw moves the running statistics of a batch normalisation.

    Args:
        model, guide: Pyro callables of ``(*args, **kwargs)``. Sites that the model observes are data; for predictions
            they are sampled instead, whatever values were given. An argument of theirs that is called like an option of
            this function goes in by ``functools.partial``.
        num_draws: from the guide, and from the prior.
        chunk_size: how many draws to make in one pass of guide and model, in a plate left of theirs. One by one is slow
            for large networks but right for any pair; more take a pair whose computations broadcast over a plate to
            the left, as for an ELBO with vectorised particles, which is tried on the last draw of one chunk.
        groups: what to compute, besides the data: any of :data:`GROUPS`.
        dims: names of the dimensions that no plate names: those of a site's events, by site, and all of those of
            constant data.
        coords: coordinate values by dimension, in place of indices; of a plate that works on a subsample, those of the
            subsample or of all.
        constant_data: arrays to keep beside the observed data, by name.
        data_plate: the plate over data, by which log p and log q are kept apart; when None, the outermost plate that
            holds every observed site.

    Returns:
        a tree with those groups, and ``observed_data`` and ``constant_data`` where there are some; (chain = 1, draw)
        lead. ArviZ keeps "/" for paths, so that it becomes "." in names.

        * ``posterior`` and ``prior``: latents, and what the model computes by ``pyro.deterministic`` or from latents
          that ``poutine.reparam`` put in another's place;
        * ``log_likelihood``, ``log_prior``: of each observed site, and of each latent under the model, without the
          scales that subsampling or ``poutine.scale`` put on it;
        * ``sample_stats``: ``log_p``, of a datum's observations and latents under the model, and ``log_q``, of its
          latents under the guide, [chain, draw, data plate], with the scales that ``poutine.scale`` gave them, without
          those of subsampling; where something is outside the data plate, ``log_p_global`` and ``log_q_global``
          [chain, draw]. All four together are the density ratio. Where the guide does not factorise over the data as
          the model does, everything is in ``log_p`` and ``log_q`` [chain, draw].
          Attributes, with a line a name: ``point_masses``, the latents that the guide gives a point;
          ``global_latents``, those outside the data plate; ``subsample``, what part of it was worked on, if not all.

    Raises:
        UserError: guide and model have different latents, a site or its shape differs between draws, draws cannot be
            made at once, a group, a plate, a name in ``dims`` or ``coords`` is unknown or does not fit, the prior
            cannot be drawn from although it is asked for, or ``num_draws`` or ``chunk_size`` is below 1.
    """
    check_options(model, guide, groups, num_draws=num_draws, chunk_size=chunk_size)
    constants = {name: as_array(name, values) for name, values in (constant_data or {}).items()}
    pair = Pair(model, guide, args, kwargs)
    guided, modelled = pair.posterior()
    check_names(modelled, dims or {}, constants)
    variables = Variables(modelled, dims or {})
    if {"posterior_predictive", "prior_predictive"} & set(groups):
        check_predictions(modelled)
    plate = factorising_plate(guided, modelled, data_plate)
    densities = Densities(guided, modelled, plate)
    attributes = attributes_of(guided, pair.guided(), plate)
    fixed: dict[str, dict[str, np.ndarray]] = {"constant_data": constants} if constants else {}
    if found := traces.observed(modelled):
        fixed["observed_data"] = {name: values[0] for name, values in variables.values(found, 1).items()}
    if chunk_size > 1:
        check_draws_at_once(pair, min(chunk_size, num_draws), variables, densities)
    kept = Kept(groups, num_draws)
    for start in range(0, num_draws, chunk_size):
        pair.draws = count = min(chunk_size, num_draws - start)
        if set(groups) - {"prior", "prior_predictive"}:
            drawn, run = pair.posterior()
            kept.write("posterior", start, variables.values(traces.latent(run) | traces.deterministic(run), count))
            kept.write("log_likelihood", start, variables.log_probs(traces.observed(run), count))
            kept.write("log_prior", start, variables.log_probs(traces.latent(run), count))
            kept.write("sample_stats", start, densities(drawn, run, count))
            if "posterior_predictive" in groups:
                kept.write("posterior_predictive", start, variables.values(pair.predicted(drawn)[1], count))
        if "prior" in groups or "prior_predictive" in groups:
            latents, predictions = pair.predicted()
            kept.write("prior", start, variables.values(latents, count))
            if "prior_predictive" in groups:
                kept.write("prior_predictive", start, variables.values(predictions, count))
        if start == 0:  # names that do not fit are refused before the work, on arrays that are filled as it goes on
            data = {group: found for group, found in (kept.groups | fixed).items() if found}
            named = {group: variables.dims(group, found, plate) for group, found in data.items()}
            coordinates = variables.coordinates(coords or {}, _sizes(data, named))
    return _tree(data, named, coordinates, attributes)


def _tree(data: _Arrays, dims: _Dims, coords: Mapping[str, Any], attributes: Mapping[str, Any]) -> DataTree:
    import arviz as az  # takes seconds, which nothing else here should wait for
    from xarray import DataTree

    parts = {}
    for group in sorted(data, key=(*GROUPS, "observed_data", "constant_data").index):
        used = {dim for own in dims[group].values() for dim in own}
        parts[group] = az.from_dict(
            {group: {in_arviz(name): values for name, values in data[group].items()}},
            sample_dims=SAMPLE_DIMS,
            dims={in_arviz(name): [in_arviz(dim) for dim in own] for name, own in dims[group].items()},
            coords={in_arviz(name): found for name, found in coords.items() if name in used},
            attrs={group: dict(attributes)} if group == "sample_stats" else None,
        )[group].to_dataset()
    tree = DataTree.from_dict(parts)
    tree.attrs = {"inference_library": "pyro", "inference_library_version": pyro.__version__}
    return tree


def _sizes(data: _Arrays, dims: _Dims) -> dict[str, int]:
    """The sizes of all dimensions but chain and draw; variables that share one must agree on it."""
    sizes: dict[str, int] = {}
    for name, values, own in (
        (name, v, dims[group][name]) for group, found in data.items() for name, v in found.items()
    ):
        if len(own) > values.ndim:
            raise UserError(f"dims names {len(own)} dimensions of '{name}' ({', '.join(own)}), which has {values.ndim}")
        for dim, size in zip(own, values.shape[values.ndim - len(own) :], strict=True):
            if sizes.setdefault(dim, size) != size:
                raise UserError(f"'{name}' has {size} positions in '{dim}', and others have {sizes[dim]}")
    for name in (name for found in data.values() for name in found if name in sizes):
        raise UserError(
            f"'{name}' is a dimension and a variable, which ArviZ takes for coordinates; give the dimension another "
            "name in dims, or rename the array, or give it as coords"
        )
    return sizes

"""Convert a Pyro model and guide to ArviZ: draws, predictions and densities as an xarray.DataTree."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.checks import (
    as_array,
    check_draws_at_once,
    check_names,
    check_options,
    check_predictions,
    model_and_guide,
)
from vri_pyro.diagnostics.conversion.densities import Densities, attributes_of, factorising_plate
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.pair import Pair
from vri_pyro.diagnostics.conversion.variables import GROUPS, Kept, Variables, in_arviz

if TYPE_CHECKING:
    from xarray import DataTree

_Arrays = Mapping[str, Mapping[str, np.ndarray]]  # by group and variable
_Dims = Mapping[str, Mapping[str, Sequence[str]]]


@torch.no_grad()
def from_pyro_svi(
    svi: pyro.infer.SVI | tuple[Callable[..., Any], Callable[..., Any]],
    *,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    constant_data: Mapping[str, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    extra_event_dims: Mapping[str, Sequence[str]] | None = None,
    num_samples: int = 1000,
    groups: Collection[str] = GROUPS,
    sample_dims: Sequence[str] = ("sample",),
    chunk_size: int = 1,
    data_plate: str | None = None,
) -> DataTree:
    """Convert a Pyro model and guide to an ArviZ tree of draws, predictions and log densities.

    The arguments from ``svi`` to ``num_samples`` are those of ``arviz_base.from_numpyro_svi``. There is no
    ``svi_result``, because Pyro keeps the parameters. ``groups`` takes the place of ``log_likelihood``, ``prior`` and
    ``posterior_predictive``, because all groups are computed here. For an equivalent model in NumPyro, the function in
    arviz_base 1.3.1 returns the same variables, dimensions, shapes and coordinates in ``posterior``,
    ``log_likelihood``, ``observed_data`` and ``constant_data``.

    Dimensions are named after the plates and the event dimensions of a site. A plate that subsamples uses
    the same subsample in all draws, and its coordinates are the subsample's indices. Besides the result, memory is
    needed for only one chunk of draws.

    The call advances Pyro's random state. Networks run in their current mode: call ``eval()`` on them first, or every
    draw updates the running statistics of batch normalisation.

    Args:
        svi: the ``pyro.infer.SVI`` that trained the guide, or a pair (model, guide) of Pyro callables. Sites that the
            model observes are data. For predictions these sites are sampled and their given values are ignored.
        model_args, model_kwargs: arguments of model and guide.
        constant_data: arrays by name to store in the group ``constant_data``.
        coords: coordinate values by dimension, in place of indices. For a plate that subsamples, give the values of
            either the subsample or the full plate.
        dims: names of all dimensions, except those of the draws, by site or by array of ``constant_data``. The default
            for a site is its plates and event dimensions.
        extra_event_dims: names of event dimensions by site. A site can also carry them itself, as in
            ``pyro.sample(..., infer={"event_dims": ["feature"]})``.
        num_samples: number of draws from the guide, and from the prior.
        groups: groups to compute in addition to the data; any of :data:`GROUPS`.
        sample_dims: dimensions of the draws, ["sample"] or ["chain", "draw"]; ``chain`` has size 1.
        chunk_size: number of draws per pass of guide and model, vectorised in a plate to the left of their plates. 1
            works for any model and guide but is slow for large networks. With more, all computations of both must
            broadcast over a plate to the left, as for an ELBO with vectorised particles; this is checked on the last
            draw of one chunk.
        data_plate: name of the plate over data, for which log p and log q are computed per datum. When None, the
            outermost plate that contains every observed site is used.

    Returns:
        a tree with the requested groups and, if there are any, ``observed_data`` and ``constant_data``. "/" in names
        becomes ".", because ArviZ reserves "/" for paths.

        * ``posterior`` and ``prior``: the latents, and the deterministic sites of ``pyro.deterministic`` and of latents
          reparameterised by ``poutine.reparam``;
        * ``log_likelihood`` and ``log_prior``: log densities under the model of each observed site and of each latent,
          without the scales of subsampling and ``poutine.scale``;
        * ``sample_stats``: ``log_p``, the log density of a datum's observations and latents under the model, and
          ``log_q``, that of its latents under the guide, both [draws, data plate], with the scales of
          ``poutine.scale`` and without those of subsampling. If there are sites outside the data plate,
          ``log_p_global`` and ``log_q_global`` [draws] hold their log densities, and the joint density ratio
          takes all four. If the guide does not factorise over the data as the model does, ``log_p`` and ``log_q``
          [draws] are the joint densities. Attributes, with names separated by newlines: ``point_masses``, the
          latents for which the guide is a point mass; ``global_latents``, the latents outside the data plate;
          ``subsample``, the size of the subsample, for instance "2 of 4", if the data plate subsamples.

    Raises:
        ValueError: guide and model have different latents; a site or its shape differs between draws; draws cannot
            be vectorised; a group, a plate, or a name in ``dims``, ``extra_event_dims`` or ``coords`` is unknown or
            does not fit; the prior is requested but cannot be sampled; or ``num_samples`` or ``chunk_size`` is below 1.
    """
    model, guide = model_and_guide(svi)
    check_options(model, guide, groups, sample_dims, num_samples=num_samples, chunk_size=chunk_size)
    constants = {name: as_array(name, values) for name, values in (constant_data or {}).items()}
    pair = Pair(model, guide, tuple(model_args), dict(model_kwargs or {}))
    guided, modelled = pair.posterior()
    check_names(modelled, dims or {}, extra_event_dims or {}, constants, sample_dims)
    variables = Variables(modelled, dims or {}, {**pair.event_dims, **(extra_event_dims or {})}, sample_dims)
    if {"posterior_predictive", "prior_predictive"} & set(groups):
        check_predictions(modelled)
    plate = factorising_plate(guided, modelled, data_plate)
    densities = Densities(guided, modelled, plate)
    attributes = attributes_of(guided, pair.guided(), plate)
    fixed: dict[str, dict[str, np.ndarray]] = {"constant_data": constants} if constants else {}
    if found := traces.observed(modelled):
        fixed["observed_data"] = {name: values[0] for name, values in variables.values(found, 1).items()}
    if chunk_size > 1:
        check_draws_at_once(pair, min(chunk_size, num_samples), variables, densities)
    kept = Kept(groups, num_samples)
    for start in range(0, num_samples, chunk_size):
        pair.draws = count = min(chunk_size, num_samples - start)
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
        if start == 0:  # raise for wrong names before the remaining draws are made
            data = {group: found for group, found in (kept.groups | fixed).items() if found}
            named = {group: variables.dims(group, found, plate) for group, found in data.items()}
            coordinates = variables.coordinates(coords or {}, _sizes(data, named))
    return _tree(data, named, coordinates, attributes, sample_dims)


def _tree(
    data: _Arrays,
    dims: _Dims,
    coords: Mapping[str, Any],
    attributes: Mapping[str, Any],
    sample_dims: Sequence[str],
) -> DataTree:
    import arviz_base  # slow to import
    from xarray import DataTree

    parts = {}
    chain = (np.newaxis,) * (len(sample_dims) - 1)
    for group in sorted(data, key=(*GROUPS, "observed_data", "constant_data").index):
        used = {dim for own in dims[group].values() for dim in own}
        parts[group] = arviz_base.from_dict(
            {group: {in_arviz(n): v[chain] if group in GROUPS else v for n, v in data[group].items()}},
            sample_dims=list(sample_dims),
            dims={in_arviz(name): [in_arviz(dim) for dim in own] for name, own in dims[group].items()},
            coords={in_arviz(name): found for name, found in coords.items() if name in used},
            attrs={group: dict(attributes)} if group == "sample_stats" else None,
        )[group].to_dataset()
    tree = DataTree.from_dict(parts)
    tree.attrs = {"inference_library": "pyro", "inference_library_version": pyro.__version__}
    return tree


def _sizes(data: _Arrays, dims: _Dims) -> dict[str, int]:
    """Sizes of all dimensions except those of the draws; raise if variables that share a dimension disagree."""
    sizes: dict[str, int] = {}
    for name, values, own in (
        (name, v, dims[group][name]) for group, found in data.items() for name, v in found.items()
    ):
        if len(own) > values.ndim:
            raise ConversionError(
                f"dims names {len(own)} dimensions of array '{name}' ({', '.join(own)}), which has {values.ndim}"
            )
        for dim, size in zip(own, values.shape[values.ndim - len(own) :], strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ConversionError(f"'{name}' has size {size} along '{dim}', but another variable has {sizes[dim]}")
    for name in (name for found in data.values() for name in found if name in sizes):
        raise ConversionError(
            f"'{name}' names both a dimension and a variable, which ArviZ would use as coordinates; rename the "
            "dimension in dims, rename the variable, or pass it in coords"
        )
    return sizes

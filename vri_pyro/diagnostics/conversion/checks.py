"""Checks of the arguments of ``from_pyro_svi``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pyro

from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.conversion.densities import Densities
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.pair import Pair, first_line
from vri_pyro.diagnostics.conversion.variables import GROUPS, Variables, by_draw, changing, in_arviz


def model_and_guide(svi: Any) -> tuple[Any, Any]:
    """Return the model and the guide of an SVI object or a pair; raise if it is neither."""
    if isinstance(svi, Sequence) and len(svi) == 2:
        return svi[0], svi[1]
    if hasattr(svi, "model") and hasattr(svi, "guide"):
        return svi.model, svi.guide
    raise ConversionError(f"svi is of type {type(svi).__name__}; expected a pyro.infer.SVI or a pair (model, guide)")


def check_options(model: Any, guide: Any, groups: Collection[str], sample_dims: Sequence[str], **numbers: Any) -> None:
    """Raise if model or guide is not a Pyro callable, a group is unknown, or a number is not an integer >= 1."""
    for name, function in (("model", model), ("guide", guide)):
        if not callable(function) or isinstance(function, pyro.infer.SVI):
            given = type(function).__name__
            raise ConversionError(
                f"the {name} is of type {given}; expected a Pyro {name}, such as the one passed to SVI"
            )
    for name, number in numbers.items():
        if not isinstance(number, Integral) or number < 1:
            raise ConversionError(f"{name} is {number}; expected an integer >= 1")
    if list(sample_dims) not in (["sample"], ["chain", "draw"]):
        raise ConversionError(f"sample_dims is {sample_dims!r}; expected ['sample'] or ['chain', 'draw']")
    if isinstance(groups, str):
        raise ConversionError(f"groups is '{groups}'; expected a list of group names")
    if strangers := [group for group in groups if group not in GROUPS]:
        raise ConversionError(
            f"groups contains '{strangers[0]}', which is not a group; choose from {', '.join(GROUPS)}"
        )


def as_array(name: str, values: Any) -> np.ndarray:
    """Convert constant data to an array; raise if that fails."""
    try:
        return traces.array(values)
    except ValueError as error:
        raise ConversionError(
            f"constant_data contains '{name}', which is not an array ({first_line(error)})"
        ) from error


def check_names(
    modelled: Any,
    dims: Mapping[str, Sequence[str]],
    events: Mapping[str, Sequence[str]],
    constant_data: Mapping[str, Any],
    sample_dims: Sequence[str],
) -> None:
    """Raise for names that ArviZ cannot represent, and for names in ``dims`` or ``events`` that would be ignored."""
    sites = traces.stochastic(modelled) | traces.deterministic(modelled)
    counts = Counter(in_arviz(name) for name in sites.keys() | constant_data.keys())
    for name in (name for name, count in counts.items() if count > 1):
        raise ConversionError(
            f"two sites or arrays are named '{name}' once '/' becomes '.', as ArviZ requires; rename one"
        )
    if taken := [name for name in sample_dims if name in sites or name in constant_data]:
        raise ConversionError(f"'{taken[0]}' is the name of one of ArviZ's dimensions; rename the site or array")
    for option, mapping in (("dims", dims), ("extra_event_dims", events)):
        known, what = set(sites), "is not a site of the model"
        if option == "dims":
            known, what = known | set(constant_data), "is neither a site of the model nor constant data"
        for name, named in mapping.items():
            if name not in known:
                raise ConversionError(f"{option} contains '{name}', which {what}")
            if len({*named, *sample_dims}) < len(named) + len(sample_dims):
                raise ConversionError(
                    f"{option} names the dimensions of '{name}' {', '.join(named)}; the names must differ from one "
                    f"another and from {' and '.join(sample_dims)}"
                )


def check_predictions(modelled: Any) -> None:
    """Raise if a site's observations and its samples differ in shape."""
    for name, site in traces.observed(modelled).items():
        shape, drawn = tuple(traces.value(site).shape), tuple(site["fn"].shape())
        if shape != drawn:
            raise ConversionError(
                f"'{name}' has shape {shape} when observed and {drawn} when sampled; put the site in a plate over its "
                "data, or leave posterior_predictive and prior_predictive out of groups"
            )


def check_draws_at_once(pair: Pair, count: int, variables: Variables, densities: Densities) -> None:
    """Raise if draws computed at once differ from single draws with the same latents."""
    remedy = "use chunk_size=1, or make all of guide and model broadcast over a plate to the left of their own"

    def values(drawn: Any, run: Any) -> dict[str, np.ndarray]:
        sites = traces.latent(run) | traces.deterministic(run)
        likelihoods = variables.log_probs(traces.observed(run), pair.draws)
        return variables.values(sites, pair.draws) | likelihoods | densities(drawn, run, pair.draws)

    alone = pair.guided()
    pair.draws = count
    try:
        drawn, run = pair.posterior()
        several = values(drawn, run)
        _take(alone, drawn, count - 1, count)
    except (ConversionError, RuntimeError, ValueError, IndexError) as error:
        raise ConversionError(f"{count} draws cannot be computed at once ({first_line(error)}); {remedy}") from error
    finally:
        pair.draws = 1
    single, again = values(*pair.posterior(alone)), values(*pair.posterior(alone))
    for name in single.keys() ^ several.keys():
        raise changing(name)
    for name, value in single.items():
        if not _alike(value[0], again[name][0]):
            raise ConversionError(
                f"'{name}' differs between two runs with the same latents; call eval() on networks with randomness "
                "of their own, such as dropout, or use chunk_size=1"
            )
        if not _alike(several[name][-1], value[0]):
            raise ConversionError(f"'{name}' differs between {count} draws computed at once and single draws; {remedy}")


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    margin = 1e-3 * (1 + np.abs(other[np.isfinite(other)]).max(initial=0))
    return np.allclose(one, other, rtol=1e-2, atol=margin, equal_nan=True)


def _take(alone: Any, drawn: Any, draw: int, count: int) -> None:
    """Copy one of several draws into a guide's trace; remove point masses, which the guide recomputes."""
    for name, site in traces.stochastic(drawn).items():
        if name not in alone.nodes:
            raise changing(name)
        if traces.is_point(site):
            alone.remove_node(name)
        else:
            found = alone.nodes[name]
            found["value"] = by_draw(name, site["value"], found["value"].dim(), count)[draw]

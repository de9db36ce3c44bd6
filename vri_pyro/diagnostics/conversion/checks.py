"""What is refused before any work is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pyro

from vri_pyro.diagnostics import pyro_traces as traces
from vri_pyro.diagnostics.conversion.densities import Densities
from vri_pyro.diagnostics.conversion.pair import Pair, first_line
from vri_pyro.diagnostics.conversion.variables import GROUPS, SAMPLE_DIMS, Variables, by_draw, changing, in_arviz
from vri_pyro.utils.errors import UserError


def check_options(model: Any, guide: Any, groups: Collection[str], **numbers: Any) -> None:
    """Refuse what cannot be a pair, names of groups that there are not, and numbers that are none."""
    for name, function in (("model", model), ("guide", guide)):
        if not callable(function) or isinstance(function, pyro.infer.SVI):
            given = type(function).__name__
            raise UserError(f"the {name} is of type {given}; give a Pyro {name}, such as the one that SVI trained")
    for name, number in numbers.items():
        if not isinstance(number, Integral) or number < 1:
            raise UserError(f"{name} is {number}; give a whole number, at least 1")
    if isinstance(groups, str):
        raise UserError(f"groups is '{groups}'; give a list of names")
    if strangers := [group for group in groups if group not in GROUPS]:
        raise UserError(f"there is no group '{strangers[0]}'; choose from {', '.join(GROUPS)}")


def as_array(name: str, values: Any) -> np.ndarray:
    """Constant data as an array; refuse what is none."""
    try:
        return traces.array(values)
    except ValueError as error:
        raise UserError(f"constant_data has '{name}', which is no array ({first_line(error)})") from error


def check_names(modelled: Any, dims: Mapping[str, Sequence[str]], constant_data: Mapping[str, Any]) -> None:
    """Refuse what ArviZ has no place for, or what would be left out in silence."""
    sites = traces.stochastic(modelled) | traces.deterministic(modelled)
    counts = Counter(in_arviz(name) for name in sites.keys() | constant_data.keys())
    for name in (name for name, count in counts.items() if count > 1):
        raise UserError(f"two sites or arrays are called '{name}' where '/' becomes '.', as in ArviZ; rename one")
    if taken := [name for name in SAMPLE_DIMS if name in sites or name in constant_data]:
        raise UserError(f"'{taken[0]}' is the name of one of ArviZ's dimensions; give the site or array another")
    for name, named in dims.items():
        if name not in sites and name not in constant_data:
            raise UserError(f"dims has '{name}', which is neither a site of the model nor constant data")
        if len({*named, *SAMPLE_DIMS}) < len(named) + len(SAMPLE_DIMS):
            raise UserError(
                f"dims names dimensions of '{name}' {', '.join(named)}; they must differ, also from chain and draw"
            )


def check_predictions(modelled: Any) -> None:
    """Refuse observations for which the model, drawn from, has another number."""
    for name, site in traces.observed(modelled).items():
        shape, drawn = tuple(traces.value(site).shape), tuple(site["fn"].shape())
        if shape != drawn:
            raise UserError(
                f"'{name}' is observed in shape {shape} and predicted in {drawn}; put it in a plate of its data, or "
                "ask for groups without posterior_predictive and prior_predictive"
            )


def check_draws_at_once(pair: Pair, count: int, variables: Variables, densities: Densities) -> None:
    """Refuse a pair of which draws made at once are not what it makes of the same latents alone."""
    remedy = "use chunk_size=1, or let all of guide and model broadcast over a plate to the left of theirs"

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
    except (UserError, RuntimeError, ValueError, IndexError) as error:
        raise UserError(f"{count} draws cannot be made at once ({first_line(error)}); {remedy}") from error
    finally:
        pair.draws = 1
    single, again = values(*pair.posterior(alone)), values(*pair.posterior(alone))
    for name in single.keys() ^ several.keys():
        raise changing(name)
    for name, value in single.items():
        if not _alike(value[0], again[name][0]):
            raise UserError(
                f"'{name}' is another one each time for the same latents; call eval() of networks that draw "
                "themselves, such as dropout, or use chunk_size=1"
            )
        if not _alike(several[name][-1], value[0]):
            raise UserError(f"'{name}' of {count} draws made at once is not what it is of each alone; {remedy}")


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    margin = 1e-3 * (1 + np.abs(other[np.isfinite(other)]).max(initial=0))
    return np.allclose(one, other, rtol=1e-2, atol=margin, equal_nan=True)


def _take(alone: Any, drawn: Any, draw: int, count: int) -> None:
    """Put one of some draws made at once in the place of a guide's draw; points it is left to find by itself."""
    for name, site in traces.stochastic(drawn).items():
        if name not in alone.nodes:
            raise changing(name)
        if traces.is_point(site):
            alone.remove_node(name)
        else:
            found = alone.nodes[name]
            found["value"] = by_draw(name, site["value"], found["value"].dim(), count)[draw]

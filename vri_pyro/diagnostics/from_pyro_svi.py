"""From a Pyro model and its guide to ArviZ: draws, predictions and densities as an xarray.DataTree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.poutine.guide import GuideMessenger
from pyro.poutine.uncondition_messenger import UnconditionMessenger
from pyro.poutine.util import site_is_factor
from torch import Tensor

from vri_pyro.diagnostics import pyro_traces as traces
from vri_pyro.diagnostics.pyro_traces import Axes, AxisNames, Site
from vri_pyro.elbo import is_deterministic
from vri_pyro.errors import UserError

if TYPE_CHECKING:
    from xarray import DataTree

GROUPS = ("posterior", "posterior_predictive", "log_likelihood", "sample_stats", "prior", "prior_predictive")
POINT_MASSES, GLOBALS, PART = "point_masses", "global_latents", "subsample"  # attributes of sample_stats
_SAMPLE_DIMS = ["chain", "draw"]
_DENSITIES = ("log_p", "log_q", "log_p_global", "log_q_global")
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
        * ``log_likelihood``: of each observed site, without the scales that subsampling or ``poutine.scale`` put on it;
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
    _check_options(model, guide, groups, num_draws=num_draws, chunk_size=chunk_size)
    constants = {name: _constant(name, values) for name, values in (constant_data or {}).items()}
    pair = _Pair(model, guide, args, kwargs)
    guided, modelled = pair.posterior()
    _check_names(modelled, dims or {}, constants)
    variables = _Variables(modelled, dims or {})
    if {"posterior_predictive", "prior_predictive"} & set(groups):
        _check_predictions(modelled)
    plate = _factorising_plate(guided, modelled, data_plate)
    densities = _Densities(guided, modelled, plate)
    attributes = _attributes(guided, pair.guided(), plate)
    fixed: dict[str, dict[str, np.ndarray]] = {"constant_data": constants} if constants else {}
    if found := traces.observed(modelled):
        fixed["observed_data"] = {name: values[0] for name, values in variables.values(found, 1).items()}
    if chunk_size > 1:
        _check_draws_at_once(pair, min(chunk_size, num_draws), variables, densities)
    kept = _Kept(groups, num_draws)
    for start in range(0, num_draws, chunk_size):
        pair.draws = count = min(chunk_size, num_draws - start)
        if set(groups) - {"prior", "prior_predictive"}:
            drawn, run = pair.posterior()
            kept.write("posterior", start, variables.values(traces.latent(run) | traces.deterministic(run), count))
            kept.write("log_likelihood", start, variables.log_likelihoods(run, count))
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


def names_in(attribute: str) -> list[str]:
    """The names in one of the attributes that :func:`from_pyro_svi` gives ``sample_stats``."""
    return attribute.splitlines()


def _tree(data: _Arrays, dims: _Dims, coords: Mapping[str, Any], attributes: Mapping[str, Any]) -> DataTree:
    import arviz as az  # takes seconds, which nothing else here should wait for
    from xarray import DataTree

    parts = {}
    for group in sorted(data, key=(*GROUPS, "observed_data", "constant_data").index):
        used = {dim for own in dims[group].values() for dim in own}
        parts[group] = az.from_dict(
            {group: {_in_arviz(name): values for name, values in data[group].items()}},
            sample_dims=_SAMPLE_DIMS,
            dims={_in_arviz(name): [_in_arviz(dim) for dim in own] for name, own in dims[group].items()},
            coords={_in_arviz(name): found for name, found in coords.items() if name in used},
            attrs={group: dict(attributes)} if group == "sample_stats" else None,
        )[group].to_dataset()
    tree = DataTree.from_dict(parts)
    tree.attrs = {"inference_library": "pyro", "inference_library_version": pyro.__version__}
    return tree


def _in_arviz(name: str) -> str:
    return name.replace("/", ".")


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


class _Pair:
    """Guide and model, run on the same arguments and, where their plates work on subsamples, on the same ones.

    Attributes:
        draws: how many to make in a run.
    """

    def __init__(self, model: Callable, guide: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
        self._model, self._guide, self._args, self._kwargs = model, guide, args, kwargs
        self._subsamples: dict[str, Any] = {}
        self.draws = 1
        guided, modelled = self.posterior()
        _check_latents(guided, modelled)
        sites = [s for trace in (guided, modelled) for s in trace.nodes.values() if s["type"] == "sample"]
        self._nesting = max((-frame.dim for site in sites for frame in traces.plates(site)), default=0)
        self._subsamples = traces.subsamples(guided) | traces.subsamples(modelled)

    def posterior(self, drawn: Any = None) -> tuple[Any, Any]:
        """Traces of the guide, and of the model at what the guide drew."""
        guided = self.guided(drawn)
        return guided, self._run(poutine.replay(self._on_subsamples(self._model), trace=guided))

    def guided(self, drawn: Any = None) -> Any:
        """A trace of the guide; at the values of another trace where there is one."""
        guide = self._on_subsamples(self._guide)
        guided = self._run(guide if drawn is None else poutine.replay(guide, trace=drawn))
        if isinstance(self._guide, GuideMessenger):  # which runs the model, whose data are not the guide's
            observed = [name for name, site in traces.stochastic(guided).items() if site["is_observed"]]
            for name in [*observed, *traces.deterministic(guided)]:
                guided.remove_node(name)
        return guided

    def predicted(self, guided: Any = None) -> tuple[dict[str, Site], dict[str, Site]]:
        """The model's latents, drawn from the prior unless the guide drew them, and data drawn given them."""
        model = self._on_subsamples(Unobserved()(self._model))
        try:
            drawn = self._run(model if guided is None else poutine.replay(model, trace=guided))
        except (NotImplementedError, ValueError, ArithmeticError, RuntimeError) as error:
            group = "prior and prior_predictive" if guided is None else "posterior_predictive"
            raise UserError(
                f"the model cannot be drawn from for {group} ({_first_line(error)}); leave that out: groups without "
                f"{group}"
            ) from error
        sites = traces.latent(drawn)
        data = {n: s for n, s in sites.items() if s["infer"].get("was_observed")}
        latents = {n: s for n, s in sites.items() if not s["infer"].get("was_observed")}
        return latents | traces.deterministic(drawn), data

    def _run(self, function: Callable) -> Any:
        if self.draws > 1:
            function = pyro.plate("draws_vectorized", self.draws, dim=-self._nesting - 1)(function)
        return poutine.trace(function).get_trace(*self._args, **self._kwargs)

    def _on_subsamples(self, function: Callable) -> Callable:
        return poutine.condition(function, data=self._subsamples) if self._subsamples else function


class Unobserved(UnconditionMessenger):
    """Has observed data sampled; factors and deterministic values stay as they are."""

    def _pyro_sample(self, msg: Any) -> None:
        if not (is_deterministic(msg) or site_is_factor(msg)):
            super()._pyro_sample(msg)


class _Variables:
    """The sites as variables: their values on named axes."""

    def __init__(self, modelled: Any, events: Mapping[str, Sequence[str]]) -> None:
        self._events = events
        sites = traces.stochastic(modelled) | traces.deterministic(modelled)
        self._names = AxisNames(modelled, {*_SAMPLE_DIMS, *_DENSITIES, *sites}, events)
        self._axes = {name: self._names.of_values(name, site) for name, site in sites.items()}
        self._log_axes = {name: self._names.of_log_prob(name, site) for name, site in traces.observed(modelled).items()}

    def values(self, sites: Mapping[str, Site], count: int) -> dict[str, np.ndarray]:
        """What was drawn, [count, ...]."""
        return {name: _on(self._axes, name, traces.value(site), count) for name, site in sites.items()}

    def log_likelihoods(self, modelled: Any, count: int) -> dict[str, np.ndarray]:
        """Of each observed site, unscaled, [count, ...]."""
        sites = traces.observed(modelled).items()
        return {name: _on(self._log_axes, name, traces.log_prob(site), count) for name, site in sites}

    def dims(self, group: str, variables: Iterable[str], plate: Any) -> dict[str, list[str]]:
        """The dimensions of a group's variables, but for chain and draw."""
        if group == "constant_data":
            return {name: list(self._events.get(name, ())) for name in variables}
        if group == "sample_stats":
            of_data = [] if plate is None else [self._names.plate(plate)]
            return {name: [] if name.endswith("_global") else of_data for name in variables}
        axes = self._log_axes if group == "log_likelihood" else self._axes
        return {name: axes[name].kept for name in variables}

    def coordinates(self, given: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
        """Of the dimensions, which are of these sizes.

        Raises:
            UserError: something is given for no dimension, or for another number of positions.
        """
        found = {name: traces.array(values) for name, values in given.items()}
        for name, values in found.items():
            if values.ndim != 1:
                raise UserError(
                    f"coords of '{name}' have {values.ndim} dimensions; give a list of one value a position"
                )
            if name not in sizes:
                raise UserError(f"coords has '{name}', which is no dimension; choose from {', '.join(sorted(sizes))}")
            if len(values) == self._names.full_sizes.get(name):
                found[name] = values = values[self._names.coordinates[name]]
            if len(values) != sizes[name]:
                raise UserError(f"coords has {len(values)} values for '{name}', which has {sizes[name]} positions")
        return self._names.coordinates | found


class _Kept:
    """Arrays [1, draws, ...] by group and variable, filled chunk by chunk; of the groups asked for."""

    def __init__(self, groups: Collection[str], num_draws: int) -> None:
        self._asked, self._num_draws = groups, num_draws
        self.groups: dict[str, dict[str, np.ndarray]] = {}

    def write(self, group: str, start: int, values: Mapping[str, np.ndarray]) -> None:
        """Keep the values [count, ...] of the draws from ``start`` on."""
        if group not in self._asked:
            return
        if start == 0:
            shapes = {name: (1, self._num_draws, *value.shape[1:]) for name, value in values.items()}
            self.groups[group] = {name: np.empty(shapes[name], value.dtype) for name, value in values.items()}
        kept = self.groups[group]
        for name in kept.keys() | values.keys():
            if name not in kept or name not in values or kept[name].shape[2:] != values[name].shape[1:]:
                raise _changing(name)
            kept[name][0, start : start + len(values[name])] = values[name]


def _on(axes: Mapping[str, Axes], name: str, value: Tensor, count: int) -> np.ndarray:
    if name not in axes:
        raise _changing(name)
    values = _by_draw(name, value, len(axes[name].names), count)
    if values.shape[1:] != axes[name].sizes:
        raise _changing(name)
    return axes[name].values(values)


def _by_draw(name: str, value: Tensor, axes: int, count: int) -> Tensor:
    """Values, with so many axes a draw, of some draws that were made at once, [count, ...]."""
    if value.dim() < axes or (count == 1 and value.dim() > axes):
        raise _changing(name)
    own = value.shape[value.dim() - axes :]
    if value.dim() == axes:  # the same in every draw
        return value.expand(count, *own)
    if value.numel() != count * own.numel():
        raise _changing(name)
    return value.reshape(count, *own)


def _changing(name: str) -> UserError:
    return UserError(
        f"site '{name}' is not there in every draw, or not in one shape; ArviZ's arrays are rectangular, so let the "
        "model have the same sites in every run"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _constant(name: str, values: Any) -> np.ndarray:
    try:
        return traces.array(values)
    except ValueError as error:
        raise UserError(f"constant_data has '{name}', which is no array ({_first_line(error)})") from error


def _check_options(model: Any, guide: Any, groups: Collection[str], **numbers: Any) -> None:
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


def _check_names(modelled: Any, dims: Mapping[str, Sequence[str]], constant_data: Mapping[str, Any]) -> None:
    """Refuse what ArviZ has no place for, or what would be left out in silence."""
    sites = traces.stochastic(modelled) | traces.deterministic(modelled)
    counts = Counter(_in_arviz(name) for name in sites.keys() | constant_data.keys())
    for name in (name for name, count in counts.items() if count > 1):
        raise UserError(f"two sites or arrays are called '{name}' where '/' becomes '.', as in ArviZ; rename one")
    if taken := [name for name in _SAMPLE_DIMS if name in sites or name in constant_data]:
        raise UserError(f"'{taken[0]}' is the name of one of ArviZ's dimensions; give the site or array another")
    for name, named in dims.items():
        if name not in sites and name not in constant_data:
            raise UserError(f"dims has '{name}', which is neither a site of the model nor constant data")
        if len({*named, *_SAMPLE_DIMS}) < len(named) + len(_SAMPLE_DIMS):
            raise UserError(
                f"dims names dimensions of '{name}' {', '.join(named)}; they must differ, also from chain and draw"
            )


def _check_latents(guided: Any, modelled: Any) -> None:
    """Refuse a guide that draws other latents than the model has."""
    drawn, needed = traces.latent(guided), traces.latent(modelled)
    for name in needed.keys() - drawn.keys():
        discrete = getattr(needed[name]["fn"], "has_enumerate_support", False)
        remedy = "draw it in the guide (a latent that enumeration summed out has no draws)" if discrete else "draw it"
        raise UserError(f"the model's latent '{name}' is not in the guide; {remedy}, or observe it in the model")
    for name in drawn.keys() - needed.keys():
        raise UserError(
            f"the guide draws '{name}', which is no latent of the model; mark it infer={{'is_auxiliary': True}}"
        )
    for name, site in needed.items():
        shape, expected = tuple(drawn[name]["value"].shape), tuple(site["fn"].shape())
        if shape != expected:
            raise UserError(f"the guide draws '{name}' in shape {shape}, the model in {expected}; use the same plates")


def _check_predictions(modelled: Any) -> None:
    """Refuse observations for which the model, drawn from, has another number."""
    for name, site in traces.observed(modelled).items():
        shape, drawn = tuple(traces.value(site).shape), tuple(site["fn"].shape())
        if shape != drawn:
            raise UserError(
                f"'{name}' is observed in shape {shape} and predicted in {drawn}; put it in a plate of its data, or "
                "ask for groups without posterior_predictive and prior_predictive"
            )


def _check_draws_at_once(pair: _Pair, count: int, variables: _Variables, densities: _Densities) -> None:
    """Refuse a pair of which draws made at once are not what it makes of the same latents alone."""
    remedy = "use chunk_size=1, or let all of guide and model broadcast over a plate to the left of theirs"

    def values(drawn: Any, run: Any) -> dict[str, np.ndarray]:
        sites = traces.latent(run) | traces.deterministic(run)
        likelihoods = variables.log_likelihoods(run, pair.draws)
        return variables.values(sites, pair.draws) | likelihoods | densities(drawn, run, pair.draws)

    alone = pair.guided()
    pair.draws = count
    try:
        drawn, run = pair.posterior()
        several = values(drawn, run)
        _take(alone, drawn, count - 1, count)
    except (UserError, RuntimeError, ValueError, IndexError) as error:
        raise UserError(f"{count} draws cannot be made at once ({_first_line(error)}); {remedy}") from error
    finally:
        pair.draws = 1
    single = values(*pair.posterior(alone))
    for name, value in single.items():
        margin = 1e-3 * (1 + np.abs(value[np.isfinite(value)]).max(initial=0))
        if not np.allclose(several[name][-1], value[0], rtol=1e-2, atol=margin, equal_nan=True):
            raise UserError(f"'{name}' of {count} draws made at once is not what it is of each alone; {remedy}")


def _take(alone: Any, drawn: Any, draw: int, count: int) -> None:
    """Put one of some draws made at once in the place of a guide's draw; points it is left to find by itself."""
    for name, site in traces.stochastic(drawn).items():
        if traces.is_point(site):
            alone.remove_node(name)
        else:
            found = alone.nodes[name]
            found["value"] = _by_draw(name, site["value"], found["value"].dim(), count)[draw]


def _factorising_plate(guided: Any, modelled: Any, asked: str | None) -> Any:
    """The plate over data, unless what is inside it for the model comes from outside it in the guide."""
    plate = traces.choose_data_plate(modelled, asked)
    if plate is None:
        return None

    def inside(sites: Mapping[str, Site]) -> list[str]:
        return [n for n, site in sites.items() if plate.name in {frame.name for frame in traces.plates(site)}]

    auxiliary = {n: s for n, s in traces.stochastic(guided).items() if s["infer"].get("is_auxiliary")}
    made = [name for name in inside(traces.latent(guided)) if traces.is_point(guided.nodes[name])]
    drawn_inside = set(inside(traces.latent(modelled))) <= set(inside(traces.latent(guided)))
    # What is made of auxiliary draws has its density there: inside, unless there are fewer of them and others outside.
    density_inside = len(made) <= len(inside(auxiliary)) or len(inside(auxiliary)) == len(auxiliary)
    if drawn_inside and density_inside:
        return plate
    if asked is not None:
        raise UserError(
            f"the guide does not factorise over '{asked}' as the model does, so it has one density for all of it; "
            "leave data_plate out"
        )
    return None


def _attributes(guided: Any, again: Any, plate: Any) -> dict[str, str]:
    """Of ``sample_stats``; from two traces of the guide."""
    found = {POINT_MASSES: "\n".join(_points(guided, again)), GLOBALS: ""}
    if plate is None:
        return found
    latents = traces.latent(guided).items()
    outside = [name for name, site in latents if plate.name not in {frame.name for frame in traces.plates(site)}]
    found[GLOBALS] = "\n".join(outside)
    if plate.full_size and plate.size < plate.full_size:
        found[PART] = f"{plate.size} of {plate.full_size}"
    return found


def _points(guided: Any, again: Any) -> list[str]:
    """The latents that the guide puts in one point, the same in two traces; not those made of auxiliary draws."""
    sites, others = traces.latent(guided), traces.latent(again)
    points = [name for name, site in sites.items() if traces.is_point(site) and name in others]
    return [name for name in points if torch.equal(sites[name]["value"], others[name]["value"])]


class _Densities:
    """Log p and log q without subsampling's scale: a datum, where there is a plate of them, and of what is outside."""

    def __init__(self, guided: Any, modelled: Any, plate: Any) -> None:
        self._plate = plate
        self._axes = {
            name: {n: traces.log_density(site).dim() for n, site in traces.stochastic(trace).items()}
            for name, trace in (("log_p", modelled), ("log_q", guided))
        }

    def __call__(self, guided: Any, modelled: Any, count: int) -> dict[str, np.ndarray]:
        """Of some draws, [count] or [count, plate's size]."""
        inside: dict[str, Any] = dict.fromkeys(("log_p", "log_q"), torch.zeros(()))
        outside: dict[str, Any] = {}
        for name, trace in (("log_p", modelled), ("log_q", guided)):
            for site_name, site in traces.stochastic(trace).items():
                if site_name not in self._axes[name]:
                    raise _changing(site_name)
                value = _by_draw(site_name, traces.log_density(site), self._axes[name][site_name], count)
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

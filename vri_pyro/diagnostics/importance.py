"""How far a guide is from the posterior, by importance sampling: Pareto k-hat, and the ELBO against a tighter bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from vri_pyro.diagnostics.from_pyro_svi import POINT_MASSES
from vri_pyro.errors import UserError

if TYPE_CHECKING:
    from xarray import DataArray, DataTree

UNRELIABLE = 0.7  # k-hat above it: no practical number of draws makes importance sampling work (Vehtari et al. 2024)
UNRELIABLE_SHARE = 0.05  # of the data, up to which a guide passes
FEWEST_DRAWS = 25  # below it PSIS has fewer than five draws for a tail
_SAMPLE_DIMS = ("chain", "draw")


def log_weights(tree: DataTree, joint: bool = False) -> DataArray:
    """Log importance weights, log p - log q, of draws from a guide.

    Args:
        tree: of :func:`~vri_pyro.diagnostics.from_pyro_svi`, with the group ``sample_stats``.
        joint: of all data and globals together, [chain, draw]. Otherwise [chain, draw, data plate]: a datum's own,
            given the globals as the guide drew them.

    Raises:
        UserError: the tree has no densities.
    """
    stats = tree.children.get("sample_stats")
    if stats is None or "log_q" not in stats:
        raise UserError("the tree has no sample_stats with log_p and log_q; ask from_pyro_svi for that group")
    densities = stats.to_dataset()
    weights = densities["log_p"] - densities["log_q"]
    if joint:
        weights = weights.sum([dim for dim in weights.dims if dim not in _SAMPLE_DIMS])
        if "log_p_global" in densities:
            weights = weights + densities["log_p_global"] - densities["log_q_global"]
    return weights


def pareto_k(tree: DataTree, joint: bool = False) -> DataArray:
    """Pareto k-hat of the importance weights by ArviZ's PSIS: below 0.7 a guide is close enough to be corrected.

    Args:
        tree, joint: see :func:`log_weights`.

    Returns:
        [data plate], or [] when joint; infinite for a guide that is a point, whose draws no weights can spread, and
        minus infinity where all weights are the same, as for the posterior itself.

    Raises:
        UserError: there are no densities, or fewer than :data:`FEWEST_DRAWS` draws.

    Reference: Yao et al., Yes, but did it work? Evaluating variational inference, ICML 2018; Vehtari et al., Pareto
        smoothed importance sampling, JMLR 2024.
    """
    import arviz_stats  # noqa: F401  # registers the accessor; takes seconds

    weights = log_weights(tree, joint)
    draws = weights.sizes["chain"] * weights.sizes["draw"]
    if draws < FEWEST_DRAWS:
        raise UserError(f"there are {draws} draws, too few for a tail; give at least {FEWEST_DRAWS}")
    if len(tree["sample_stats"].attrs.get(POINT_MASSES, ())):
        return weights.isel(chain=0, draw=0, drop=True) * 0 + np.inf
    spread = weights.max(_SAMPLE_DIMS) - weights.min(_SAMPLE_DIMS)
    # Rounding alone makes the posterior's own weights differ; PSIS has nothing to fit there.
    alike = spread <= 1e3 * np.finfo(weights.dtype).eps * (1 + abs(weights).max(_SAMPLE_DIMS))
    # ArviZ refuses a tail of equal values, so such data get any other weights, whose result is not used.
    fitted = weights.where(~alike, np.log1p(weights["draw"].astype(weights.dtype)))
    with np.errstate(over="ignore"):  # in smoothed weights of a very heavy tail, which are not used
        _, found = (-fitted).azstats.psislw(dim=list(_SAMPLE_DIMS))  # it takes the logarithms of the ratios' inverses
    return found.where(~alike, -np.inf).rename("pareto_k")


@dataclass(frozen=True)
class Bounds:
    """Two lower bounds on log p(y | x) a datum, in nats; the second is never below the first.

    Attributes:
        elbo: E_q[log p - log q], [data plate].
        importance_weighted: log of the mean importance weight over all draws, [data plate]; it approaches log p(y | x)
            as the draws become more.
    """

    elbo: DataArray
    importance_weighted: DataArray

    @property
    def gap(self) -> DataArray:
        """An estimate, from below, of KL[q ‖ p(v | x, y)] a datum; infinite where the guide is a point."""
        return self.importance_weighted - self.elbo


def bounds(tree: DataTree, joint: bool = False) -> Bounds:
    """The ELBO and the importance-weighted bound of the same draws, without subsampling's scales.

    Args:
        tree, joint: see :func:`log_weights`.

    Returns:
        both; minus infinity for a guide that is a point.

    Reference: Burda et al., Importance weighted autoencoders, ICLR 2016.
    """
    weights = log_weights(tree, joint).stack(sample=_SAMPLE_DIMS)
    if len(tree["sample_stats"].attrs.get(POINT_MASSES, ())):
        nothing = weights.isel(sample=0, drop=True) * 0 - np.inf
        return Bounds(nothing, nothing)
    axis = weights.get_axis_num("sample")
    evidence = logsumexp(weights.values, axis=axis) - np.log(weights.sizes["sample"])
    elbo = weights.mean("sample")
    return Bounds(elbo, elbo.copy(data=evidence))


def rightness(k_hat: DataArray) -> str:
    """One verdict on a guide as its model's posterior, by the share of data whose k-hat is above 0.7."""
    share = float((k_hat > UNRELIABLE).mean())
    if share <= UNRELIABLE_SHARE:
        return f"close to the model's posterior: k-hat is above {UNRELIABLE} for {share:.0%} of the examples"
    return (
        f"not the model's posterior: k-hat is above {UNRELIABLE} for {share:.0%} of the examples, so that its draws "
        "cannot be corrected by weights"
    )

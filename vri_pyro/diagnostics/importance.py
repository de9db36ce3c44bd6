"""How far a guide is from the posterior, by importance sampling: Pareto k-hat, and the ELBO against a tighter bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from vri_pyro.diagnostics.conversion.densities import PART, POINT_MASSES
from vri_pyro.utils.errors import UserError

if TYPE_CHECKING:
    from xarray import DataArray, DataTree

UNRELIABLE = 0.7  # k-hat above it: no practical number of draws makes importance sampling work (Vehtari et al. 2024)
UNRELIABLE_SHARE = 0.05  # of the data, up to which a guide passes
FAR = 0.5  # nats a datum between the bounds: a normal guide one standard deviation off in one direction
FEWEST_DRAWS = 25  # below it PSIS has fewer than five draws for a tail
_SAMPLE_DIMS = ("chain", "draw")


def log_weights(tree: DataTree, joint: bool = False) -> DataArray:
    """Log importance weights, log p - log q, of draws from a guide.

    Args:
        tree: of :func:`~vri_pyro.diagnostics.from_pyro_svi`, with the group ``sample_stats``.
        joint: of all data and globals together, [chain, draw]. Otherwise [chain, draw, data plate]: a datum's own,
            given the globals as the guide drew them.

    Raises:
        UserError: the tree has no densities, or joint ones are asked for of a plate that worked on a subsample: a
            global was inferred from all data, which those of some cannot weigh.
    """
    stats = tree.children.get("sample_stats")
    if stats is None or "log_q" not in stats:
        raise UserError("the tree has no sample_stats with log_p and log_q; ask from_pyro_svi for that group")
    densities = stats.to_dataset()
    weights = densities["log_p"] - densities["log_q"]
    if joint:
        weights = weights.sum([dim for dim in weights.dims if dim not in _SAMPLE_DIMS])
        if "log_p_global" in densities:
            if part := stats.attrs.get(PART):
                raise UserError(
                    f"the plate over data worked on {part} positions, and globals are inferred from all of them; draw "
                    "without a subsample for joint weights, or take each datum's own (joint=False)"
                )
            weights = weights + densities["log_p_global"] - densities["log_q_global"]
    return weights


def check_draws(draws: int) -> None:
    """Refuse fewer draws than :func:`pareto_k` can do with.

    Raises:
        UserError: there are fewer than :data:`FEWEST_DRAWS`.
    """
    if draws < FEWEST_DRAWS:
        raise UserError(f"there are {draws} draws, too few for a tail; give at least {FEWEST_DRAWS}")


def pareto_k(tree: DataTree, joint: bool = False) -> DataArray:
    """Pareto k-hat of the importance weights by ArviZ's PSIS: below 0.7 a guide is close enough to be corrected.

    Args:
        tree, joint: see :func:`log_weights`.

    Returns:
        [data plate], or [] when joint; infinite for a guide that is a point, whose draws no weights can spread, and
        where the weights are too far apart for a tail to be fitted; minus infinity where all weights are the same, as
        for the posterior itself.

    Raises:
        UserError: there are no densities, or fewer than :data:`FEWEST_DRAWS` draws.

    Reference: Yao et al., Yes, but did it work? Evaluating variational inference, ICML 2018; Vehtari et al., Pareto
        smoothed importance sampling, JMLR 2024.
    """
    import arviz_stats  # noqa: F401  # registers the accessor; takes seconds

    weights = log_weights(tree, joint)
    check_draws(weights.sizes["chain"] * weights.sizes["draw"])
    if len(tree["sample_stats"].attrs.get(POINT_MASSES, ())):
        return weights.isel(chain=0, draw=0, drop=True) * 0 + np.inf
    spread = weights.max(_SAMPLE_DIMS) - weights.min(_SAMPLE_DIMS)
    # Rounding alone makes the posterior's own weights differ; PSIS has nothing to fit there.
    rounding = 1e3 * np.finfo(weights.dtype).eps * (1 + abs(weights).max(_SAMPLE_DIMS))
    alike = np.isfinite(spread) & (spread <= rounding)
    # ArviZ refuses a tail of equal values, so such data get any other weights, whose result is not used.
    fitted = weights.where(~alike, np.log1p(weights["draw"].astype(weights.dtype)))
    with np.errstate(all="ignore"):  # in smoothed weights of a very heavy tail, which are not used
        _, found = (-fitted).azstats.psislw(dim=list(_SAMPLE_DIMS))  # it takes the logarithms of the ratios' inverses
    # Where all but a few of the weights vanish beside the largest, ArviZ has no tail to fit, and says nan.
    return found.fillna(np.inf).where(~alike, -np.inf).rename("pareto_k")


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
        return (self.importance_weighted - self.elbo).where(self.elbo > -np.inf, np.inf)


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


def rightness(k_hat: DataArray, bounds: Bounds) -> str:
    """One verdict on a guide as its model's posterior.

    Weights of a likelihood that is bounded, as a label's is, have a light tail under any guide at least as wide as the
    posterior, the prior itself for one; k-hat alone would let those pass, so that the bounds have a say.

    Args:
        k_hat: of :func:`pareto_k`.
        bounds: of :func:`bounds`.

    Returns:
        the first that holds: k-hat is above 0.7 for more than 5% of the data; the bounds are more than 0.5 nats a datum
        apart; neither.
    """
    share, gap = float((k_hat > UNRELIABLE).mean()), float(bounds.gap.mean())
    weighable = f"k-hat is above {UNRELIABLE} for {share:.0%} of the examples"
    if share > UNRELIABLE_SHARE:
        return f"not the model's posterior: {weighable}, so that its draws cannot be corrected by weights"
    if not gap <= FAR:
        return (
            "not the model's posterior, but wide enough for weights to correct its draws: the bounds are "
            f"{gap:.2g} nats an example apart, and {weighable}"
        )
    return f"close to the model's posterior: the bounds are {gap:.2g} nats an example apart, and {weighable}"

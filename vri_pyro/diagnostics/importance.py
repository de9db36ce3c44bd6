"""Distance of a guide from the posterior by importance sampling: Pareto k-hat and the importance-weighted bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from vri_pyro.diagnostics.conversion.densities import PART, POINT_MASSES
from vri_pyro.utils.errors import UserError

if TYPE_CHECKING:
    from xarray import DataArray, DataTree

UNRELIABLE = 0.7  # if k-hat is above it, no practical number of draws suffices (Vehtari et al. 2024)
UNRELIABLE_SHARE = 0.05  # largest share of the data with such a k-hat for a guide that is close to the posterior
FAR = 0.5  # nats per datum between the bounds; the KL of a normal guide whose mean is off by one standard deviation
FEWEST_DRAWS = 25  # with fewer, PSIS has fewer than five draws in the tail
_SAMPLE_DIMS = ("sample", "chain", "draw")


def log_weights(tree: DataTree, joint: bool = False) -> DataArray:
    """Compute log importance weights, log p - log q, of draws from a guide.

    Args:
        tree: output of :func:`~vri_pyro.diagnostics.from_pyro_svi` with the group ``sample_stats``.
        joint: whether to compute the weights of all data and global latents together, [draws]. Otherwise each datum
            has its own weights given the guide's draws of the global latents, [draws, data plate]. The draws have the
            dimension "sample", or "chain" and "draw", as in the tree.

    Raises:
        UserError: the tree has no densities; or ``joint`` is true, there are global latents, and the data plate
            subsampled. The posterior of a global latent depends on all data, so a subsample cannot give its weights.
    """
    stats = tree.children.get("sample_stats")
    if stats is None or "log_q" not in stats:
        raise UserError("the tree has no sample_stats with log_p and log_q; add that group in from_pyro_svi")
    densities = stats.to_dataset()
    weights = densities["log_p"] - densities["log_q"]
    if joint:
        weights = weights.sum([dim for dim in weights.dims if dim not in _SAMPLE_DIMS])
        if "log_p_global" in densities:
            if part := stats.attrs.get(PART):
                raise UserError(
                    f"the data plate used a subsample of {part} positions, but global latents depend on all data; draw "
                    "without subsampling for joint weights, or use weights per datum (joint=False)"
                )
            weights = weights + densities["log_p_global"] - densities["log_q_global"]
    return weights


def _sample_dims(weights: DataArray) -> list[str]:
    """Return the dimensions of the draws: "sample", or "chain" and "draw"."""
    return [dim for dim in _SAMPLE_DIMS if dim in weights.dims]


def check_draws(draws: int) -> None:
    """Raise if there are too few draws for :func:`pareto_k`.

    Raises:
        UserError: there are fewer than :data:`FEWEST_DRAWS`.
    """
    if draws < FEWEST_DRAWS:
        raise UserError(f"the number of draws is {draws}, too few for Pareto k-hat; use at least {FEWEST_DRAWS}")


def pareto_k(tree: DataTree, joint: bool = False) -> DataArray:
    """Compute Pareto k-hat of the importance weights with ArviZ's PSIS.

    If k-hat is below 0.7, the guide is close enough to the posterior for importance sampling to correct its draws.

    Args:
        tree, joint: see :func:`log_weights`.

    Returns:
        k-hat, [data plate], or [] if ``joint`` is true. It is infinite if the guide is a point mass, or if the weights
        are too spread out to fit a tail. It is minus infinity if all weights are equal, as for the exact posterior.

    Raises:
        UserError: there are no densities, or fewer than :data:`FEWEST_DRAWS` draws.

    Reference: Yao et al., Yes, but did it work? Evaluating variational inference, ICML 2018; Vehtari et al., Pareto
        smoothed importance sampling, JMLR 2024.
    """
    import arviz_stats  # noqa: F401  # registers the accessor; slow to import

    weights = log_weights(tree, joint)
    draws = _sample_dims(weights)
    check_draws(math.prod(weights.sizes[dim] for dim in draws))
    if len(tree["sample_stats"].attrs.get(POINT_MASSES, ())):
        return weights.isel(dict.fromkeys(draws, 0), drop=True) * 0 + np.inf
    spread = weights.max(draws) - weights.min(draws)
    # The weights of the exact posterior differ by rounding only, and PSIS cannot fit a tail to them.
    rounding = 1e3 * np.finfo(weights.dtype).eps * (1 + abs(weights).max(draws))
    alike = np.isfinite(spread) & (spread <= rounding)
    # ArviZ raises for a tail of equal values, so such data get dummy weights. Their result is discarded.
    fitted = weights.where(~alike, np.log1p(weights[draws[-1]].astype(weights.dtype)))
    with np.errstate(all="ignore"):  # smoothed weights of heavy tails, which are discarded
        _, found = (-fitted).azstats.psislw(dim=draws)  # expects log q - log p
    # ArviZ returns NaN if too many weights are negligible relative to the largest one for a tail to be fitted.
    return found.fillna(np.inf).where(~alike, -np.inf).rename("pareto_k")


@dataclass(frozen=True)
class Bounds:
    """Two lower bounds on log p(y | x) per datum, in nats; the second is never below the first.

    Attributes:
        elbo: E_q[log p - log q], [data plate].
        importance_weighted: log of the mean importance weight over all draws, [data plate]. It converges to
            log p(y | x) as the number of draws grows.
    """

    elbo: DataArray
    importance_weighted: DataArray

    @property
    def gap(self) -> DataArray:
        """Estimate of a lower bound on KL[q ‖ p(v | x, y)] per datum; infinite if the guide is a point mass."""
        return (self.importance_weighted - self.elbo).where(self.elbo > -np.inf, np.inf)


def bounds(tree: DataTree, joint: bool = False) -> Bounds:
    """Compute the ELBO and the importance-weighted bound from the same draws, without subsampling's scales.

    Args:
        tree, joint: see :func:`log_weights`.

    Returns:
        both bounds; minus infinity if the guide is a point mass.

    Reference: Burda et al., Importance weighted autoencoders, ICLR 2016.
    """
    weights = log_weights(tree, joint)
    if (draws := _sample_dims(weights)) != ["sample"]:
        weights = weights.stack(sample=draws)
    if len(tree["sample_stats"].attrs.get(POINT_MASSES, ())):
        nothing = weights.isel(sample=0, drop=True) * 0 - np.inf
        return Bounds(nothing, nothing)
    axis = weights.get_axis_num("sample")
    evidence = logsumexp(weights.values, axis=axis) - np.log(weights.sizes["sample"])
    elbo = weights.mean("sample")
    return Bounds(elbo, elbo.copy(data=evidence))


def rightness(k_hat: DataArray, bounds: Bounds) -> str:
    """Assess in words whether a guide is the posterior of its model.

    The verdict uses both measures because k-hat alone accepts guides that are too wide. The likelihood of a label is
    bounded, so the importance weights have a light tail under any guide at least as wide as the posterior, for instance
    the prior.

    Args:
        k_hat: output of :func:`pareto_k`.
        bounds: output of :func:`bounds`.

    Returns:
        the first verdict that applies: k-hat is above 0.7 for more than 5% of the data; the bounds differ by more than
        0.5 nats per datum on average; the guide is close to the posterior.
    """
    share, gap = float((k_hat > UNRELIABLE).mean()), float(bounds.gap.mean())
    weighable = f"k-hat is above {UNRELIABLE} for {share:.0%} of the examples"
    if share > UNRELIABLE_SHARE:
        return f"not the model's posterior: {weighable}, so importance weights cannot correct its draws"
    if not gap <= FAR:
        return (
            "not the model's posterior, but wide enough for importance weights to correct its draws: the bounds differ "
            f"by {gap:.2g} nats per example, and {weighable}"
        )
    return f"close to the model's posterior: the bounds differ by {gap:.2g} nats per example, and {weighable}"

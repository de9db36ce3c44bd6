"""Detect posterior collapse: to a point, to the prior, or to a posterior that ignores the label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError

POINT_STD = 0.05  # mean standard deviation of q, in units of v; a sigmoid link varies over a few units
PRIOR_KL = 0.05  # nats per datum
LABEL_SHARE = 0.01  # share of the variance of v under q
ACTIVE_VARIANCE = 0.01  # variance of a unit's posterior mean over the data (Burda et al. 2016)
_DRAWS = 200  # for moments without a closed form


@dataclass(frozen=True)
class Collapse:
    """Collapse measures of one latent's posterior, averaged over data.

    Attributes:
        site: name of the latent site.
        posterior_std, prior_std: standard deviations of q and p, averaged over data and dimensions.
        variance_norm: ‖σ²‖ of q, the norm of a datum's vector of variances (paper, fig. 4).
        kl: KL[q ‖ p] in nats per datum.
        kl_per_dimension: the KL of each dimension, [K]; NaN unless q and p are both diagonal normals.
        shift: distance between the means of q and p, in standard deviations of p.
        active_units: number of dimensions whose posterior mean has a variance above :data:`ACTIVE_VARIANCE` over data.
        label_share: share of the variance of v under q that the label explains. Each input is paired with every label;
            the variance of q's mean over labels is averaged over inputs and divided by the total variance of v.
    """

    site: str
    posterior_std: float
    prior_std: float
    variance_norm: float
    kl: float
    kl_per_dimension: np.ndarray
    shift: float
    active_units: int
    label_share: float

    @property
    def way(self) -> Literal["point", "prior", "label ignored"] | None:
        """The first form of collapse that is detected; None if there is none."""
        if self.posterior_std < POINT_STD:
            return "point"
        if self.kl < PRIOR_KL:
            return "prior"
        return "label ignored" if self.label_share < LABEL_SHARE else None

    @property
    def sound(self) -> bool:
        """Whether no collapse is detected."""
        return self.way is None

    @property
    def verdict(self) -> str:
        """The finding and the measures behind it, as a phrase."""
        if self.way == "point":
            return f"collapsed to a point: its standard deviation is {self.posterior_std:.2g}, below {POINT_STD:g}"
        if self.way == "prior":
            return f"collapsed to the prior: the KL is {self.kl:.2g} nats per example, below {PRIOR_KL:g}"
        if self.way == "label ignored":
            share = f"{self.label_share:.2%} of the variance of {self.site}"
            return f"ignores the label: the label explains {share}, below {LABEL_SHARE:.0%}"
        return (
            f"did not collapse: its standard deviation is {self.posterior_std:.2g}, the KL is {self.kl:.2g} nats per "
            f"example, and the label explains {self.label_share:.0%} of the variance of {self.site}"
        )


@torch.no_grad()
def collapse(
    model: Callable[..., Any], guide: Callable[..., Any], batches: Iterable[tuple[ClassifierOutput, Tensor]]
) -> dict[str, Collapse]:
    """Measure posterior collapse for each per-example latent.

    Args:
        model, guide: Pyro callables with the arguments ``(output, y)``.
        batches: pairs of the classifier's output and the given labels, int64 [batch].

    Returns:
        the measures by name of the latent site, for the sites in the plate over data.

    Raises:
        UserError: there are no batches, or the model has no per-example latents.
    """
    elbo, found = RectificationELBO(), dict[str, list]()
    for output, y in batches:
        terms = elbo.terms(model, guide, output, y)
        sites = [name for name, kl in terms.kl.items() if kl.dim() and name in terms.posterior]
        by_label = _by_label(guide, output, sites)
        for name in sites:
            q, p = terms.posterior[name], terms.prior[name]
            kl = terms.kl[name].sum() / terms.plate_size * len(y)  # undo subsampling's scale
            parts = (*_moments(q), *_moments(p), _kl_per_dimension(q, p), kl[None], by_label[name])
            found.setdefault(name, []).append(parts)
    if not found:
        raise UserError(
            "there are no per-example latents to measure; use a model and guide with latents and at least one batch"
        )
    return {
        name: _measured(name, *(torch.cat(parts).cpu() for parts in zip(*each, strict=True)))
        for name, each in found.items()
    }


def _measured(
    site: str,
    means: Tensor,
    variances: Tensor,
    prior_means: Tensor,
    prior_variances: Tensor,
    kls: Tensor,
    kl: Tensor,
    by_label: Tensor,
) -> Collapse:
    between_labels = by_label.var(1, correction=0).mean(0).sum()
    in_all = by_label.flatten(0, 1).var(0, correction=0).sum() + variances.mean(0).sum()
    return Collapse(
        site=site,
        posterior_std=float(variances.sqrt().mean()),
        prior_std=float(prior_variances.sqrt().mean()),
        variance_norm=float(variances.norm(dim=-1).mean()),
        kl=float(kl.sum() / len(means)),
        kl_per_dimension=kls.mean(0).numpy(),
        shift=float(((means - prior_means).abs() / prior_variances.sqrt()).mean()),
        active_units=int((means.var(0, correction=0) > ACTIVE_VARIANCE).sum()),
        label_share=float(between_labels / in_all) if in_all > 0 else 0.0,
    )


def _moments(distribution: Any) -> tuple[Tensor, Tensor]:
    """Means and variances, [batch, K] each."""
    try:
        mean, variance = distribution.mean, distribution.variance
    except NotImplementedError:
        # With sample((_DRAWS,)), Pyro's mixtures of normals mix up draws and examples.
        drawn = distribution.expand((_DRAWS, *distribution.batch_shape)).sample()
        mean, variance = drawn.mean(0), drawn.var(0)
    return _flat(mean, distribution), _flat(variance, distribution)


def _flat(value: Tensor, distribution: Any) -> Tensor:
    return value.reshape(-1, max(1, distribution.event_shape.numel()))


def _kl_per_dimension(q: Any, p: Any) -> Tensor:
    bases = getattr(q, "base_dist", q), getattr(p, "base_dist", p)
    if all(isinstance(base, Normal) for base in bases):
        return _flat(kl_divergence(*bases), q)
    return torch.full_like(_moments(q)[0], torch.nan)


def _by_label(guide: Callable[..., Any], output: ClassifierOutput, sites: list[str]) -> dict[str, Tensor]:
    """Posterior means of each example paired with every label, [batch, labels, K], by site."""
    size, classes = output.logits.shape
    means: dict[str, list[Tensor]] = {name: [] for name in sites}
    for label in range(classes):
        trace = poutine.trace(guide).get_trace(output, torch.full((size,), label, device=output.logits.device))
        for name in sites:
            means[name].append(_moments(trace.nodes[name]["fn"])[0])
    return {name: torch.stack(each, 1) for name, each in means.items()}

"""Whether a posterior collapsed: to a point, to its prior, or to something that does not look at the label."""

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

POINT_STD = 0.05  # mean standard deviation of q, on the scale of v, on which a sigmoid link acts over a few units
PRIOR_KL = 0.05  # nats a datum
LABEL_SHARE = 0.01  # of the variance of v under q
ACTIVE_VARIANCE = 0.01  # of a unit's posterior mean over the data (Burda et al. 2016)
_DRAWS = 200  # for moments without a closed form


@dataclass(frozen=True)
class Collapse:
    """How one latent's posterior stands to a point, to its prior and to the label, averaged over data.

    Attributes:
        site: the latent.
        posterior_std, prior_std: standard deviations of q and p, over data and dimensions.
        variance_norm: ‖σ²‖ of q, the length of a datum's vector of variances (paper, fig. 4).
        kl: KL[q ‖ p], nats a datum.
        kl_per_dimension: the same by dimension, [K]; not a number where q or p is no diagonal normal.
        shift: distance of q's mean from the prior's in the prior's standard deviations.
        active_units: dimensions of which the posterior mean varies over data by more than :data:`ACTIVE_VARIANCE`.
        label_share: share of the variance of v under q that the label explains, with input and label apart: E_x of
            the variance of q's mean over all labels that x might have been given, over the variance of v in all.
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
        """The first way to collapse that holds; None without any."""
        if self.posterior_std < POINT_STD:
            return "point"
        if self.kl < PRIOR_KL:
            return "prior"
        return "label ignored" if self.label_share < LABEL_SHARE else None

    @property
    def sound(self) -> bool:
        """Whether none of the ways to collapse holds."""
        return self.way is None

    @property
    def verdict(self) -> str:
        """One verdict, in words."""
        if self.way == "point":
            return f"collapsed to a point: its standard deviation is {self.posterior_std:.2g}, below {POINT_STD:g}"
        if self.way == "prior":
            return f"collapsed to the prior: the KL is {self.kl:.2g} nats a datum, below {PRIOR_KL:g}"
        if self.way == "label ignored":
            return f"ignores the label: it explains {self.label_share:.2%} of {self.site}, below {LABEL_SHARE:.0%}"
        return (
            f"did not collapse: its standard deviation is {self.posterior_std:.2g}, the KL {self.kl:.2g} nats a datum, "
            f"and the label explains {self.label_share:.0%} of {self.site}"
        )


@torch.no_grad()
def collapse(
    model: Callable[..., Any], guide: Callable[..., Any], batches: Iterable[tuple[ClassifierOutput, Tensor]]
) -> dict[str, Collapse]:
    """Measure how far the posterior of each latent of a datum is from having collapsed.

    Args:
        model, guide: Pyro callables ``(output, y)``.
        batches: what the classifier makes of examples, and their given labels, int64 [batch].

    Returns:
        by latent site in the plate over data.

    Raises:
        UserError: there are no batches.
    """
    elbo, found = RectificationELBO(), dict[str, list]()
    for output, y in batches:
        terms = elbo.terms(model, guide, output, y)
        sites = [name for name, kl in terms.kl.items() if kl.dim() and name in terms.posterior]
        by_label = _by_label(guide, output, sites)
        for name in sites:
            q, p = terms.posterior[name], terms.prior[name]
            kl = terms.kl[name].sum() / terms.plate_size * len(y)  # a plate that works on a subsample scales it up
            parts = (*_moments(q), *_moments(p), _kl_per_dimension(q, p), kl[None], by_label[name])
            found.setdefault(name, []).append(parts)
    if not found:
        raise UserError("there are no latents of examples to look at; give a pair that has some, and a batch")
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
    """Means and variances, [batch, K]."""
    try:
        mean, variance = distribution.mean, distribution.variance
    except NotImplementedError:
        # Not sample((_DRAWS,)), in which Pyro's mixtures of normals confuse draws and examples.
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
    """The posterior means of every example under every label, [batch, labels, K], by site."""
    size, classes = output.logits.shape
    means: dict[str, list[Tensor]] = {name: [] for name in sites}
    for label in range(classes):
        trace = poutine.trace(guide).get_trace(output, torch.full((size,), label, device=output.logits.device))
        for name in sites:
            means[name].append(_moments(trace.nodes[name]["fn"])[0])
    return {name: torch.stack(each, 1) for name, each in means.items()}

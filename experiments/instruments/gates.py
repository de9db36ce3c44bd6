"""Instrument: weights that the gates give to the likelihoods of a label."""

from __future__ import annotations

from torch import Tensor

from instruments.belief import beliefs, separation
from instruments.seen import Figures, Seen
from vri_pyro.models import HierarchicalRectification

_DRAWS = 32
_LEAST = 1e-4  # as in the model
SITES = {"gate": "weight", "transition_gate": "transition_weight"}


def gates(seen: Seen) -> Figures | None:
    """Return the posterior means of gates and weights, the latter before and after division by their mean.

    The mean is that of the examples seen, in place of a batch. ``auroc`` tells how well a low weight finds wrong
    labels. None if the method has no gates.
    """
    found = {SITES[site]: _figures(seen, site) for site in SITES if site in seen.posterior}
    return found or None


def weights(seen: Seen, site: str) -> tuple[Tensor, Tensor]:
    """Return the posterior means of the weights of a gate, before and after division by their mean, [n] each."""
    drawn = seen.posterior[site].sample((_DRAWS,))
    if site == "gate" and isinstance(seen.run.model, HierarchicalRectification):
        drawn = drawn + beliefs(seen)["memory"].logit(_LEAST)
    weight = drawn.sigmoid()
    return weight.mean(0), (weight / weight.mean(-1, keepdim=True)).mean(0)


def _figures(seen: Seen, site: str) -> Figures:
    before, after = weights(seen, site)
    return {
        "gate": seen.apart(seen.posterior[site].mean),
        "before": seen.apart(before),
        "after": seen.apart(after),
        "auroc": separation(-before, seen.wrong),
    }

"""Instrument: the rectifier at the given label and at the other classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from instruments.seen import Figures, Seen

_DRAWS = 16


def rectifier(seen: Seen) -> Figures | None:
    """Return mean and spread of π(v) at the label's entry and elsewhere; None if the method has no rectifier.

    ``mean`` and ``spread`` are mean and standard deviation, over the examples, of the posterior mean of π(v).
    ``uncertainty`` is its posterior standard deviation.
    """
    if "v" not in seen.posterior or not hasattr(seen.run.model, "link"):
        return None
    drawn = seen.run.model.link(seen.posterior["v"].sample((_DRAWS,)))
    moments = torch.stack([drawn.mean(0), drawn.std(0)], -1)  # [n, K, 2]
    label = F.one_hot(seen.given, drawn.shape[-1]).to(drawn).unsqueeze(-1)
    others = (moments * (1 - label)).sum(1) / (1 - label).sum(1)
    return {
        "label": seen.apart((moments * label).sum(1), _figures),
        "elsewhere": seen.apart(others, _figures),
    }


def _figures(moments: Tensor) -> Figures:
    mean, std = moments.unbind(-1)
    return {
        "mean": float(mean.mean()),
        "spread": float(mean.std(correction=0)),
        "uncertainty": float(std.mean()),
    }

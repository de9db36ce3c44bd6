"""Train a copy of a guide on the ELBO, as a reference for a meta-learned guide."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vri_pyro.infer.elbo import RectificationELBO


def elbo_trained[G: nn.Module](
    model: Callable[..., Any],
    guide: G,
    batches: Callable[[], tuple],
    steps: int = 2000,
    lr: float = 3e-3,
    particles: int = 16,
) -> G:
    """Train a copy of a guide to maximise the ELBO of a fixed model.

    Adam's learning rate follows a cosine schedule down to 0, so that gradient noise averages out by the last step.

    Args:
        model: a Pyro model. Its parameters are not changed.
        guide: a Pyro guide. It is copied and not changed.
        batches: returns the arguments of model and guide for one step.
        steps: number of Adam steps.
        lr: initial learning rate.
        particles: draws from the guide per step.

    Returns:
        the trained copy.
    """
    trained = copy.deepcopy(guide)
    optimizer = torch.optim.Adam(trained.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    elbo = RectificationELBO(particles)
    for _ in range(steps):
        optimizer.zero_grad()
        # Without ``inputs``, the model's parameters would accumulate gradients.
        loss = elbo.terms(model, trained, *batches()).loss()
        loss.backward(inputs=list(trained.parameters()))
        optimizer.step()
        schedule.step()
    return trained

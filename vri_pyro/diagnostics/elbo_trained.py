"""The guide that a model would have had, had it been trained on the ELBO: what a meta-learned one is compared with."""

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
    """A copy of a guide, trained to maximise the ELBO with the model as it is.

    The step size falls to 0 along a cosine, so that what is left at the end is not the noise of the gradients.

    Args:
        model: a Pyro callable; its parameters stay.
        guide: a Pyro guide; it stays as it is, its copy is trained.
        batches: draws the arguments of model and guide for a step.
        steps: how many, of Adam.
        lr: of the first.
        particles: draws of the guide a step.
    """
    trained = copy.deepcopy(guide)
    optimizer = torch.optim.Adam(trained.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    elbo = RectificationELBO(particles)
    for _ in range(steps):
        optimizer.zero_grad()
        # An explicit list, because the model's parameters must not gather gradients.
        loss = elbo.terms(model, trained, *batches()).loss()
        loss.backward(inputs=list(trained.parameters()))
        optimizer.step()
        schedule.step()
    return trained

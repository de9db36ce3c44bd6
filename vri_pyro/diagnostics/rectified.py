"""Rectified predictions and losses of examples, averaged over draws from the guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.diagnostics.conversion.traces import log_density
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


class Rectified(NamedTuple):
    """Rectified predictions and losses of a batch.

    Attributes:
        probabilities: rectified prediction E_q[p(· | x, v)], [batch, K]. It does not include the example's weight.
        loss: training loss -E_q[log p(y | x, v)] in nats, [batch], multiplied by the example's weight if the model has
            one.
        original_loss: cross entropy of the unrectified classifier in nats, [batch].
    """

    probabilities: Tensor
    loss: Tensor
    original_loss: Tensor


@torch.no_grad()
def rectified(
    model: Callable[..., Any], guide: Callable[..., Any], output: ClassifierOutput, y: Tensor, draws: int = 20
) -> Rectified:
    """Compute rectified predictions and losses, averaged over draws from the guide.

    Args:
        model: a Pyro model that observes the labels as a categorical site ``y``.
        guide: a Pyro guide that samples the model's latents given the labels.
        output: the classifier's output for a batch.
        y: given labels, int64 [batch].
        draws: number of draws from the guide.

    Raises:
        UserError: the model has no categorical site ``y``.
    """
    probabilities, loss = torch.zeros_like(output.logits), torch.zeros_like(output.logits[:, 0])
    for _ in range(draws):
        drawn = poutine.trace(guide).get_trace(output, y)
        trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, y)
        label = trace.nodes.get("y")
        if label is None or not hasattr(label["fn"], "probs"):
            raise UserError("the model has no categorical site 'y'; observe the labels in a site of that name")
        probabilities += label["fn"].probs / draws
        loss -= log_density(label) / draws  # includes the site's scale, which is the example's weight
    return Rectified(probabilities, loss, F.cross_entropy(output.logits, y, reduction="none"))

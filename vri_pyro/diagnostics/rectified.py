"""What rectification makes of examples: the label's distribution and the loss, with the vector drawn from the guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.diagnostics.pyro_traces import log_density
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


class Rectified(NamedTuple):
    """A batch seen through model and guide.

    Attributes:
        probabilities: E_q[p(· | x, v)], the rectified prediction, [batch, K]; no weight of the example enters.
        loss: -E_q[log p(y | x, v)], what the classifier is trained on, times the example's weight where the model has
            one, [batch], in nats.
        original_loss: cross entropy of the classifier itself, [batch], in nats.
    """

    probabilities: Tensor
    loss: Tensor
    original_loss: Tensor


@torch.no_grad()
def rectified(
    model: Callable[..., Any], guide: Callable[..., Any], output: ClassifierOutput, y: Tensor, draws: int = 20
) -> Rectified:
    """Draw the latents from the guide and average over the draws.

    Args:
        model: observes the labels as a categorical site ``y``.
        guide: draws the model's latents given the labels.
        output: the classifier's, of a batch.
        y: the given labels, int64 [batch].
        draws: how many.

    Raises:
        UserError: the model has no categorical site ``y``.
    """
    probabilities, loss = torch.zeros_like(output.logits), torch.zeros_like(output.logits[:, 0])
    for _ in range(draws):
        drawn = poutine.trace(guide).get_trace(output, y)
        trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, y)
        label = trace.nodes.get("y")
        if label is None or not hasattr(label["fn"], "probs"):
            raise UserError("the model has no categorical site 'y'; observe the labels as one to see its predictions")
        probabilities += label["fn"].probs / draws
        loss -= log_density(label) / draws  # with its scale, the example's weight
    return Rectified(probabilities, loss, F.cross_entropy(output.logits, y, reduction="none"))

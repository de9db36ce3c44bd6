"""Scores of given labels from model and guide: effect of rectification, and surprise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vri_pyro.diagnostics import Rectified
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.classifier import ClassifierOutput


def rectification_effect(seen: Rectified) -> Tensor:
    """Compute by how much rectification lowers the loss of the given label, in nats, [batch].

    The effect is −log p(y | x) + E_q[log p(y | x, v)]. If the model has example weights, the second term is multiplied
    by the example's weight. A large effect means that the guide considers the label wrong.
    """
    return seen.original_loss - seen.loss


@torch.no_grad()
def surprise(
    model: Callable[..., Any], guide: Callable[..., Any], output: ClassifierOutput, y: Tensor, draws: int = 20
) -> Tensor:
    """Compute the surprise of each given label, KL[q(v | x, y) ‖ p(v | x)], in nats.

    The KL is summed over all per-example latents. Latents that are shared by all examples are left out. The KL is large
    for surprising labels only if training used the KL, and if the guide's inputs show whether label and prediction
    agree.

    Args:
        model, guide: the Pyro model and guide.
        output: the classifier's output for a batch.
        y: given labels, int64 [batch].
        draws: number of draws for a KL without a closed form.

    Returns:
        the KL of each example, [batch]; 0 if there are no per-example latents.
    """
    terms = RectificationELBO(draws).terms(model, guide, output, y)
    local = [kl for kl in terms.kl.values() if kl.shape == y.shape]
    # A plate that subsamples scales the KL up to the full data.
    scale = terms.plate_size / len(y)
    return torch.stack(local).sum(0) / scale if local else torch.zeros_like(output.logits[:, 0])

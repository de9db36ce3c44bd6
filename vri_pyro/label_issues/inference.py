"""What model and guide say about a given label: how much rectification does to it, and how surprising it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vri_pyro.diagnostics import Rectified
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.classifier import ClassifierOutput


def rectification_effect(seen: Rectified) -> Tensor:
    """By how much rectification lowers the loss of the given label, in nats, [batch]; the guide disbelieves the label.

    With v drawn from the guide: −log p(y | x) + E_q[log p(y | x, v)], the second times the example's weight where the
    model has one.
    """
    return seen.original_loss - seen.loss


@torch.no_grad()
def surprise(
    model: Callable[..., Any], guide: Callable[..., Any], output: ClassifierOutput, y: Tensor, draws: int = 20
) -> Tensor:
    """KL[q(v | x, y) ‖ p(v | x)], in nats, [batch]: how far the label moves the posterior from where the input puts it.

    Of all latents that belong to an example; those that all examples share say nothing of one. It is large for
    surprising labels only where the KL was trained, and the guide sees how well label and prediction agree.

    Args:
        model, guide: the pair.
        output: the classifier's, of a batch.
        y: the given labels, int64 [batch].
        draws: for a KL without a closed form.
    """
    terms = RectificationELBO(draws).terms(model, guide, output, y)
    local = [kl for kl in terms.kl.values() if kl.shape == y.shape]
    # A plate that subsamples scales a batch up to all data.
    scale = terms.plate_size / len(y)
    return torch.stack(local).sum(0) / scale if local else torch.zeros_like(output.logits[:, 0])

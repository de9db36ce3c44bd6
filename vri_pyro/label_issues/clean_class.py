"""Which class an example really is of: its posterior given input and label."""

from __future__ import annotations

import torch
from torch import Tensor


def clean_class_posterior(probabilities: Tensor, given: Tensor, transition: Tensor) -> Tensor:
    """r(c | x, y) ∝ p(c | x) T[c, y].

    Args:
        probabilities: p(c | x) of the true class, [N, K].
        given: y, int64 [N].
        transition: T[c, k], the probability that a label of class c is given as k, [K, K].

    Returns:
        [N, K]; the prediction where prediction and matrix together leave no class possible.
    """
    joint = probabilities * transition.T[given]
    total = joint.sum(-1, keepdim=True)
    return torch.where(total > 0, joint / total.clamp_min(torch.finfo(joint.dtype).tiny), probabilities)

"""Scores of given labels from the classifier's prediction alone; a greater score is more suspicious."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def self_confidence(probabilities: Tensor, given: Tensor) -> Tensor:
    """Compute 1 − p(y | x), [N], from probabilities [N, K] and given labels, int64 [N].

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021.
    """
    return 1 - _of_label(probabilities, given)


def margin(probabilities: Tensor, given: Tensor) -> Tensor:
    """Compute the margin (1 + max_{k ≠ y} p(k | x) − p(y | x)) / 2, in [0, 1], [N].

    Above one half, another class is more probable than the given label.

    Args:
        probabilities: predictions, [N, K].
        given: given labels, int64 [N].

    Reference: Northcutt et al. (2021), the normalised margin.
    """
    others = probabilities.masked_fill(F.one_hot(given, probabilities.shape[1]).bool(), -torch.inf)
    return (1 + others.max(dim=-1).values - _of_label(probabilities, given)) / 2


def loss(logits: Tensor, given: Tensor) -> Tensor:
    """Compute the cross entropy −log p(y | x) in nats, [N], from logits [N, K] and given labels, int64 [N].

    It ranks examples as self-confidence does, but also distinguishes probabilities that underflow to 0 in single
    precision.
    """
    return F.cross_entropy(logits, given, reduction="none")


def _of_label(probabilities: Tensor, given: Tensor) -> Tensor:
    return probabilities.gather(1, given.unsqueeze(1)).squeeze(1)

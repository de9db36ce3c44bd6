"""What a classifier's prediction alone says against a given label; greater is more suspicious in every score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def self_confidence(probabilities: Tensor, given: Tensor) -> Tensor:
    """1 − p(y | x), [N], from probabilities [N, K] and given labels, int64 [N].

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021.
    """
    return 1 - _of_label(probabilities, given)


def margin(probabilities: Tensor, given: Tensor) -> Tensor:
    """(1 + max_{k ≠ y} p(k | x) − p(y | x)) / 2, in [0, 1], [N]: above a half, another class is the likelier one.

    Reference: Northcutt et al. (2021), the normalised margin.
    """
    others = probabilities.masked_fill(F.one_hot(given, probabilities.shape[1]).bool(), -torch.inf)
    return (1 + others.max(dim=-1).values - _of_label(probabilities, given)) / 2


def loss(logits: Tensor, given: Tensor) -> Tensor:
    """The cross entropy −log p(y | x), in nats, [N], from logits [N, K].

    It ranks as self-confidence does, and still tells apart what has a probability of 0 in single precision.
    """
    return F.cross_entropy(logits, given, reduction="none")


def _of_label(probabilities: Tensor, given: Tensor) -> Tensor:
    return probabilities.gather(1, given.unsqueeze(1)).squeeze(1)

"""Transition matrices: what they make of a classifier's probabilities, and how a clean set tells them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.utils.errors import UserError

# Of a zero in T: below what logits reach, and finite, for a label that no class is given as.
_LEAST_LOG = -1e4


def noisy_log_probabilities(logits: Tensor, transition: Tensor) -> Tensor:
    """log p(ỹ | x) = log Σ_c softmax(F(x))_c T[c, ỹ]: the forward correction.

    Args:
        logits: of the true class, [..., K].
        transition: T[c, k], the probability that a label of class c is given as k, [..., K, K].

    Returns:
        log-probabilities of the given label, [..., K], computed as logarithms, so that a label which the classifier
        rules out still has a gradient.

    Reference: Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017.
    """
    return torch.logsumexp(logits.log_softmax(-1).unsqueeze(-1) + _log(transition), dim=-2)


def clean_posterior(logits: Tensor, transition: Tensor, y: Tensor) -> Tensor:
    """p(c | x, y) ∝ softmax(F(x))_c T[c, y]: which class an example is of, given its label.

    Args:
        logits: of the true class, [batch, K].
        transition: T, [K, K].
        y: the given labels, int64 [batch].

    Returns:
        probabilities [batch, K]; the prediction where prediction and matrix together leave no class possible.
    """
    return (logits.log_softmax(-1) + _log(transition).mT[y]).softmax(-1)


def _log(transition: Tensor) -> Tensor:
    return transition.log().clamp_min(_LEAST_LOG)


def glc_estimate(logits: Tensor, y: Tensor) -> Tensor:
    """T̂[c, ·], the mean of softmax(F(x)) over the clean examples of class c, for F trained on noisy labels.

    The row of a class without clean examples is that of the identity: its labels are taken to be right.

    Args:
        logits: of the clean examples, by a classifier trained on noisy labels, [m, K].
        y: their true labels, int64 [m], at least one.

    Returns:
        [K, K] with rows that sum to one.

    Raises:
        UserError: there is no clean example.

    Reference: Hendrycks et al., Using trusted data to train deep networks on labels corrupted by severe noise,
        NeurIPS 2018.
    """
    if len(y) == 0:
        raise UserError("there are no clean examples to estimate a transition matrix from; give some a class")
    members = F.one_hot(y, logits.shape[-1]).to(logits)
    counts = members.sum(0).unsqueeze(-1)
    means = members.mT @ logits.softmax(-1) / counts.clamp_min(1)
    return torch.where(counts > 0, means, torch.eye(len(counts), dtype=means.dtype, device=means.device))

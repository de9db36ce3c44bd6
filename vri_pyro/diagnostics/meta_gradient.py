"""Unbiased estimate of the squared norm of the meta loss's gradient, which Theorem 1 of the paper bounds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vri_pyro.data.batch import Batch
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.virtual_step import learning_rate
from vri_pyro.utils.errors import UserError


def meta_gradient_squared_norm(algorithm: BilevelSVI, noisy: Sequence[Batch], clean: Batch) -> Tensor:
    """Estimate ‖∇L_meta‖² at the algorithm's current parameters, without bias.

    L_meta(φ) = E[G(ŵ(φ))] is the expected clean loss after the virtual step. The expectation is over the noisy batch
    and the guide's noise, and the gradient is with respect to the parameters of model and guide together. The squared
    norm of one noisy gradient is biased upwards by the gradient's variance, so the estimate uses inner products of
    independent gradients instead; see :func:`squared_norm_of_mean`. The estimate changes only the random state.

    If ``clean`` is the whole clean set, the clean loss adds no sampling noise. A classifier with batch normalisation in
    training mode is an exception, because its clean loss depends on the other examples of the batch.

    Args:
        algorithm: an algorithm without a KL in its outer objective. The factor 1/η of the clean loss in that objective
            is divided out.
        noisy: at least two noisy batches of the training batch size, drawn independently.
        clean: a batch of clean examples, preferably the whole clean set.

    Returns:
        the estimate, []. It may be negative.

    Raises:
        UserError: the outer objective has a KL, or there are fewer than two noisy batches.
    """
    if algorithm.outer_kl_weight:
        raise UserError(
            f"outer_kl_weight is {algorithm.outer_kl_weight:g}, so the outer gradient includes the KL's gradient; "
            "set outer_kl_weight to 0"
        )
    # With a learning rate of 0 the clean loss is not scaled, and its gradient is 0.
    rate = learning_rate(algorithm.inner_optimizer) or 1.0
    gradients = [algorithm.outer_gradients(batch, clean) for batch in noisy]
    flat = [torch.cat([g.flatten() for g in each if g is not None]) for each in gradients]
    return rate**2 * squared_norm_of_mean(torch.stack(flat) if flat else torch.empty(0, 0))


def squared_norm_of_mean(draws: Tensor) -> Tensor:
    """Estimate ‖E[g]‖² without bias from independent draws of g: the mean of ⟨gᵢ, gⱼ⟩ over all i ≠ j.

    Args:
        draws: draws of g, [m, P], m >= 2.

    Returns:
        the estimate, []. It may be negative if noise dominates the draws.

    Raises:
        UserError: there are fewer than two draws.
    """
    count = len(draws)
    if count < 2:
        raise UserError(f"the number of independent gradients is {count}; expected at least 2")
    total = draws.sum(dim=0)
    return (total @ total - draws.square().sum()) / (count * (count - 1))

"""The squared norm of the meta loss's gradient, which the paper's Theorem 1 bounds, without the bias of its noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vri_pyro.data.batch import Batch
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.virtual_step import learning_rate
from vri_pyro.utils.errors import UserError


def meta_gradient_squared_norm(algorithm: BilevelSVI, noisy: Sequence[Batch], clean: Batch) -> Tensor:
    """Estimate ‖∇L_meta‖² where the algorithm stands, without bias and without moving anything but the random state.

    L_meta(φ) = E[G(ŵ(φ))] is the clean loss after the virtual step, its mean over the noisy batch and the guide's
    noise; the gradient is for the parameters of model and guide together. A squared norm of a noisy gradient is too
    large by the noise's variance, so independent gradients are multiplied with one another instead; see
    :func:`squared_norm_of_mean`. With the whole clean set as ``clean`` nothing is sampled there. A classifier with
    batch normalisation in training mode is an exception: its clean loss depends on what else is in the batch.

    Args:
        algorithm: without a KL in its outer objective; the objective's factor 1/η on the clean loss is taken out.
        noisy: at least two batches, drawn independently of one another, of the size that a step has.
        clean: a batch with trusted labels, best all of them.

    Returns:
        the estimate, [], which may be below zero.

    Raises:
        UserError: the algorithm has an outer KL, or there are fewer than two noisy batches.
    """
    if algorithm.outer_kl_weight:
        raise UserError(
            f"outer_kl_weight is {algorithm.outer_kl_weight:g}, so the outer gradient is not the meta loss's alone; "
            "measure with outer_kl_weight 0"
        )
    # A step size of 0 leaves the clean loss unscaled, and its gradient is 0.
    rate = learning_rate(algorithm.inner_optimizer) or 1.0
    gradients = [algorithm.outer_gradients(batch, clean) for batch in noisy]
    flat = [torch.cat([g.flatten() for g in each if g is not None]) for each in gradients]
    return rate**2 * squared_norm_of_mean(torch.stack(flat) if flat else torch.empty(0, 0))


def squared_norm_of_mean(draws: Tensor) -> Tensor:
    """Estimate ‖E[g]‖² from independent draws of g, without bias: the mean of ⟨gᵢ, gⱼ⟩ over all i ≠ j.

    Args:
        draws: [m, P], m at least 2.

    Returns:
        the estimate, [], which may be below zero where the draws are mostly noise.

    Raises:
        UserError: there are fewer than two draws.
    """
    count = len(draws)
    if count < 2:
        raise UserError(f"{count} independent gradients were given; a mean's squared norm takes at least two")
    total = draws.sum(dim=0)
    return (total @ total - draws.square().sum()) / (count * (count - 1))

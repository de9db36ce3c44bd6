"""Estimates of the transition matrix, from true to given labels, that do not look at the truth (paper, fig. 3b)."""

from __future__ import annotations

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError


def averaged_transition(predicted: Tensor, probabilities: Tensor) -> Tensor:
    """The mean of the given label's distribution, as a model predicts it, over the examples of predicted class i.

    With one-hot given labels for the distribution it counts them, as
    :func:`~vri_pyro.data.noise.transition_counts.realised_transition` does.

    Args:
        predicted: a classifier's decisions, int64 [N].
        probabilities: of the given label, [N, K].

    Returns:
        [K, K]; the identity's row for a class that is never predicted.
    """
    num_classes = probabilities.shape[1]
    counts = torch.bincount(predicted, minlength=num_classes).unsqueeze(1)
    sums = probabilities.new_zeros(num_classes, num_classes).index_add_(0, predicted, probabilities)
    return torch.where(counts > 0, sums / counts.clamp_min(1), torch.eye(num_classes).to(sums))


def learned_transition(*holders: object) -> Tensor | None:
    """The matrix that a model, or an algorithm such as GLC's, keeps as its own: its ``transition`` [K, K].

    Args:
        holders: where to look, in this order; the attribute may be a parameter, a buffer or a property.

    Returns:
        the first one found, detached; None where nobody has one.

    Raises:
        UserError: it is no square matrix with rows that sum to 1.
    """
    for holder in holders:
        if (matrix := getattr(holder, "transition", None)) is not None:
            return _checked(matrix, f"{type(holder).__name__}.transition")
    return None


def _checked(matrix: object, name: str) -> Tensor:
    if not isinstance(matrix, Tensor) or matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        found = list(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise UserError(f"{name} is {found}; make it a tensor of shape [K, K]")
    if not torch.allclose(matrix.sum(dim=1), matrix.new_ones(len(matrix)), atol=1e-4):
        raise UserError(f"the rows of {name} do not sum to 1; let row i be p(given | i)")
    return matrix.detach()

"""Estimates of the transition matrix, from true to given labels, that do not look at the truth (paper, fig. 3b)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vri_pyro.errors import UserError


def averaged_transition(predicted: Tensor, probabilities: Tensor) -> Tensor:
    """The mean of the given label's distribution, as a model predicts it, over the examples of predicted class i.

    With one-hot given labels for the distribution it counts them, as
    :func:`~vri_pyro.data.noise.transition.realised_transition` does.

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


def learned_transition(model: nn.Module) -> Tensor | None:
    """The matrix that a model keeps as its own: ``model.transition`` [K, K], or None where it has none.

    It may be a parameter, a buffer or a property.

    Raises:
        UserError: it is there and is no square matrix with rows that sum to 1.
    """
    matrix = getattr(model, "transition", None)
    if matrix is None:
        return None
    if not isinstance(matrix, Tensor) or matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = list(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise UserError(f"{type(model).__name__}.transition is {shape}; make it a tensor of shape [K, K]")
    if not torch.allclose(matrix.sum(dim=1), matrix.new_ones(len(matrix)), atol=1e-4):
        raise UserError(
            f"the rows of {type(model).__name__}.transition do not sum to 1; let row i be p(given | true i)"
        )
    return matrix.detach()

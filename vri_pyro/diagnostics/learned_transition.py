"""Estimates of the label transition matrix that need no true labels (paper, fig. 3b)."""

from __future__ import annotations

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError


def averaged_transition(predicted: Tensor, probabilities: Tensor) -> Tensor:
    """Estimate a transition matrix by averaging given-label distributions over each predicted class.

    Row i is the mean distribution of the given label over the examples that are predicted as class i. If
    ``probabilities`` are one-hot given labels, the result contains their relative frequencies, as computed by
    :func:`~vri_pyro.data.noise.transition_counts.realised_transition`.

    Args:
        predicted: classes predicted by a classifier, int64 [N].
        probabilities: distribution of the given label of each example, [N, K].

    Returns:
        the transition matrix, [K, K]. The row of a class that is never predicted is the identity's.
    """
    num_classes = probabilities.shape[1]
    counts = torch.bincount(predicted, minlength=num_classes).unsqueeze(1)
    sums = probabilities.new_zeros(num_classes, num_classes).index_add_(0, predicted, probabilities)
    return torch.where(counts > 0, sums / counts.clamp_min(1), torch.eye(num_classes).to(sums))


def learned_transition(*holders: object) -> Tensor | None:
    """Return the transition matrix that a model, a guide or an algorithm such as GLC's has learned.

    Args:
        holders: objects to search, in this order, for an attribute ``transition``. The attribute may be a parameter, a
            buffer or a property.

    Returns:
        the first matrix found, [K, K], detached. None if no object has the attribute.

    Raises:
        UserError: the attribute is not a square matrix whose rows sum to 1.
    """
    for holder in holders:
        if (matrix := getattr(holder, "transition", None)) is not None:
            return _checked(matrix, f"{type(holder).__name__}.transition")
    return None


def _checked(matrix: object, name: str) -> Tensor:
    if not isinstance(matrix, Tensor) or matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        found = f"has shape {list(matrix.shape)}" if isinstance(matrix, Tensor) else f"is a {type(matrix).__name__}"
        raise UserError(f"{name} {found}; expected a tensor of shape [K, K]")
    if not torch.allclose(matrix.sum(dim=1), matrix.new_ones(len(matrix)), atol=1e-4):
        raise UserError(f"the rows of {name} do not sum to 1; expected row i to be p(given label | true label i)")
    return matrix.detach()

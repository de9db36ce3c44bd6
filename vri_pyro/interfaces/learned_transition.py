"""The transition matrix that a model, a guide or an algorithm has learned."""

from __future__ import annotations

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError


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

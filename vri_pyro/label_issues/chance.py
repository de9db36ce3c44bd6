"""When predictions are hardly better than chance."""

from __future__ import annotations


def hardly_above(chance: float, accuracy: float, share: float = 0.25) -> bool:
    """Whether an accuracy is less than a share, by default a quarter, of the way from chance to 1."""
    return accuracy - chance < share * (1 - chance)

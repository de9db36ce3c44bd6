"""Pair-flip noise, where each class is confused with the next class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class PairFlip(ClassConditionalNoise):
    """Pair-flip noise: each class is confused with the next class, with probability ρ.

    T[c, c+1 mod C] = ρ and T[c, c] = 1-ρ.

    Reference: Han et al., Co-teaching, NeurIPS 2018.

    Attributes:
        rate: ρ, from 0 to 1. Above 0.5 the majority label of each class is wrong.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("PairFlip", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw nothing."""
        identity = np.eye(num_classes)
        return (1.0 - self.rate) * identity + self.rate * np.roll(identity, 1, axis=1)

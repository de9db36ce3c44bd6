"""Flip noise, where each class is confused with one random other class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class Flip(ClassConditionalNoise):
    """Flip noise: each class is confused with one random other class, with probability ρ.

    T[c, t(c)] = ρ and T[c, c] = 1-ρ for a map t that is drawn from the seed. Two classes may have the same target.

    Attributes:
        rate: ρ, from 0 to 1. Above 0.5 the majority label of each class is wrong.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("Flip", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw one double per class."""
        classes = np.arange(num_classes)
        others = np.floor(generator.random(num_classes) * (num_classes - 1)).astype(np.int64)
        targets = others + (others >= classes)
        transition = (1.0 - self.rate) * np.eye(num_classes)
        transition[classes, targets] = self.rate
        return transition

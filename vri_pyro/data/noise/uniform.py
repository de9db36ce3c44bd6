"""Uniform (symmetric) noise, in the field's two conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class UniformInclusive(ClassConditionalNoise):
    """With probability ρ a label is redrawn from all C classes, the true one included: ρ (1 - 1/C) are wrong.

    T = ρ/C·11ᵀ + (1-ρ)·I.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("UniformInclusive", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """T, float64 [K, K]; nothing is drawn."""
        return np.full((num_classes, num_classes), self.rate / num_classes) + (1.0 - self.rate) * np.eye(num_classes)


@dataclass(frozen=True)
class UniformExclusive(ClassConditionalNoise):
    """With probability ρ a label is redrawn from the C - 1 wrong classes: ρ are wrong.

    T has 1-ρ on the diagonal and ρ/(C-1) off it.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("UniformExclusive", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """T, float64 [K, K]; nothing is drawn."""
        transition = np.full((num_classes, num_classes), self.rate / (num_classes - 1))
        np.fill_diagonal(transition, 1.0 - self.rate)
        return transition

"""Uniform (symmetric) noise, in its two common conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class UniformInclusive(ClassConditionalNoise):
    """Symmetric noise: with probability ρ a label is drawn uniformly from all C classes.

    The drawn label may be the true label, so the expected share of wrong labels is ρ (1 - 1/C). T = ρ/C·11ᵀ + (1-ρ)·I.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("UniformInclusive", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw nothing."""
        return np.full((num_classes, num_classes), self.rate / num_classes) + (1.0 - self.rate) * np.eye(num_classes)


@dataclass(frozen=True)
class UniformExclusive(ClassConditionalNoise):
    """Symmetric noise: with probability ρ a label is drawn uniformly from the wrong classes.

    The expected share of wrong labels is ρ. T is 1-ρ on the diagonal and ρ/(C-1) elsewhere.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("UniformExclusive", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw nothing."""
        transition = np.full((num_classes, num_classes), self.rate / (num_classes - 1))
        np.fill_diagonal(transition, 1.0 - self.rate)
        return transition

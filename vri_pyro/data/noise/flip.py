"""Flip noise: every class is confused with one other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class Flip(ClassConditionalNoise):
    """Every class c gets one random other class t(c); T[c, t(c)] = ρ and T[c, c] = 1-ρ.

    The map t is drawn anew with every seed; two classes may share a target.

    Attributes:
        rate: ρ, from 0 to 1. Above 0.5 most labels of a class agree on a wrong one.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("Flip", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """T, float64 [K, K], with one double drawn a class."""
        classes = np.arange(num_classes)
        others = np.floor(generator.random(num_classes) * (num_classes - 1)).astype(np.int64)
        targets = others + (others >= classes)
        transition = (1.0 - self.rate) * np.eye(num_classes)
        transition[classes, targets] = self.rate
        return transition

"""No injected noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class NoNoise(ClassConditionalNoise):
    """Labels stay as they are: T = I. For data whose labels are noisy already, and for upper bounds."""

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """The identity, float64 [K, K]; nothing is drawn."""
        return np.eye(num_classes)

"""No noise injection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.class_conditional import ClassConditionalNoise


@dataclass(frozen=True)
class NoNoise(ClassConditionalNoise):
    """No injected noise (T = I); for data with noisy labels, or for upper-bound experiments."""

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return the identity, float64 [K, K]; draw nothing."""
        return np.eye(num_classes)

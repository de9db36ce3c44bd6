"""Noise that depends on the true class alone."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count
from vri_pyro.data.randomness import categorical
from vri_pyro.data.streamed import Inputs


class ClassConditionalNoise(LabelNoise):
    """Noise given by a transition matrix: every label is drawn from its true class's row."""

    @abstractmethod
    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """The matrix, float64 [K, K] with rows that sum to one; random choices come from ``generator``."""

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Draw every label from its row; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        transition = self.transition(num_classes, generator)
        return NoisyLabels(categorical(generator, transition[labels]), labels, transition)

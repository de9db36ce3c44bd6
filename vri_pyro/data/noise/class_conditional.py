"""Class-conditional noise, which depends only on the true class."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count
from vri_pyro.data.randomness import categorical
from vri_pyro.data.streamed import Inputs


class ClassConditionalNoise(LabelNoise):
    """Base class of noise given by a transition matrix.

    Each label is drawn from the row of its true class.
    """

    @abstractmethod
    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return the transition matrix, float64 [K, K], with rows that sum to one.

        Args:
            num_classes: number of classes K.
            generator: the source of randomness for random matrices.
        """

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Draw each label from the row of its true class; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        transition = self.transition(num_classes, generator)
        return NoisyLabels(categorical(generator, transition[labels]), labels, transition)

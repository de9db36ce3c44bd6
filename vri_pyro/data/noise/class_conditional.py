"""Class-conditional noise, which depends only on the true class."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count
from vri_pyro.data.randomness import categorical
from vri_pyro.data.streamed import Inputs

_CHUNK = 8192  # number of examples whose labels are drawn at a time


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
        # In chunks, because the rows of T of all examples need far more memory than the labels.
        parts = [labels[start : start + _CHUNK] for start in range(0, max(1, len(labels)), _CHUNK)]
        given = np.concatenate([categorical(generator, transition[part]) for part in parts])
        return NoisyLabels(given, labels, transition)

"""What label noise is: a seeded corruption of true labels, with its transition matrix on record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.transition import count_transitions
from vri_pyro.errors import UserError


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """True labels and what the noise made of them.

    Attributes:
        labels: the possibly wrong labels, int64 [N].
        true_labels: the labels before the noise, int64 [N].
        transition: the nominal matrix, float64 [K, K]: entry [i, j] is the probability that class i is
            labelled j. Where the noise depends on the instance, its mean over the class's examples.
    """

    labels: np.ndarray
    true_labels: np.ndarray
    transition: np.ndarray

    @property
    def flipped(self) -> np.ndarray:
        """Which labels are wrong, bool [N]."""
        return self.labels != self.true_labels

    @property
    def rate(self) -> float:
        """The realised share of wrong labels."""
        return float(self.flipped.mean())

    @property
    def nominal_rate(self) -> float:
        """The expected share of wrong labels, given the true ones.

        This is not always the recipe's parameter: inclusive uniform noise of rate ρ over C classes gets
        ρ (1 - 1/C) of the labels wrong.
        """
        return float(1.0 - self.transition.diagonal()[self.true_labels].mean())

    @property
    def realised_transition(self) -> np.ndarray:
        """The realised matrix, float64 [K, K]; the row of a class without examples is nan."""
        counts = count_transitions(self.true_labels, self.labels, len(self.transition)).astype(np.float64)
        totals = counts.sum(axis=1, keepdims=True)
        return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


class LabelNoise(ABC):
    """A recipe for wrong labels. Subclass it, and name the class in a configuration, to add one."""

    @abstractmethod
    def apply(
        self, labels: np.ndarray, features: np.ndarray, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Corrupt true labels.

        Args:
            labels: true labels, int64 [N] in 0..num_classes-1.
            features: the examples themselves, as in :class:`~vri_pyro.data.arrays.Arrays`, for noise that
                depends on the instance.
            num_classes: number of classes K.
            generator: the only source of randomness; draw with ``generator.random`` alone (see
                :mod:`vri_pyro.data.randomness`).
        """

    def __repr__(self) -> str:
        """The recipe and its parameters, as recorded with a run."""
        return f"{type(self).__name__}()"


def check_rate(noise: str, rate: float) -> None:
    """Refuse a noise rate that is no probability."""
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"{noise} got rate {rate}; give a probability from 0 to 1.")

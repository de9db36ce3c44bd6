"""What label noise is: a seeded corruption of true labels, with its transition matrix on record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class Replacement:
    """Images that took the place of others: open-set noise.

    Attributes:
        positions: of the examples whose image was replaced, int64 [R], each once.
        images: what they show now, [R, H, W, C], in the data's dtype.
    """

    positions: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """True labels and what the noise made of them.

    Attributes:
        labels: the possibly wrong labels, int64 [N].
        true_labels: the labels before the noise, int64 [N]; -1 (:data:`~vri_pyro.data.validation.NO_CLASS`) where
            the example belongs to none of the classes.
        transition: the nominal matrix, float64 [K, K]: entry [i, j] is the probability that class i is
            labelled j. Where the noise depends on the instance, its mean over the class's examples; where
            it is fixed by a file, the realised matrix. In both, a class without examples has the identity's row.
            It is about the examples that have a class.
        replaced: the images that were replaced, if any.
    """

    labels: np.ndarray
    true_labels: np.ndarray
    transition: np.ndarray
    replaced: Replacement | None = None

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
        ρ (1 - 1/C) of the labels wrong. The label of an example of no class is wrong with certainty.
        """
        right = self.transition.diagonal()[self.true_labels]
        return float(1.0 - np.where(self.true_labels == NO_CLASS, 0.0, right).mean())

    @property
    def open_set_rate(self) -> float:
        """The share of examples that belong to none of the classes."""
        return float((self.true_labels == NO_CLASS).mean())

    @property
    def realised_transition(self) -> np.ndarray:
        """The realised matrix, float64 [K, K]; the row of a class without examples is nan."""
        return transition_frequencies(self.true_labels, self.labels, len(self.transition))


class LabelNoise(ABC):
    """A recipe for wrong labels. Subclass it, and name the class in a configuration, to add one."""

    @abstractmethod
    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Corrupt true labels.

        Args:
            labels: true labels, int64 [N] in 0..num_classes-1.
            features: the examples themselves, as in :class:`~vri_pyro.data.arrays.Arrays`, for noise that
                depends on the instance.
            num_classes: number of classes K.
            generator: the only source of randomness; draw with ``generator.random`` alone (see
                :mod:`vri_pyro.data.randomness`).

        Raises:
            UserError: the recipe is not defined for so many classes, or what it reads is unusable.
        """

    def for_part(self, indices: np.ndarray, num_train: int) -> LabelNoise:
        """The recipe for a part of the training set; what it returns is applied to the labels of that part.

        A recipe that treats its examples by label and features alone is its own, as here. Override this where
        the noise is tied to an example's place in the training set, as labels in a file are.

        Args:
            indices: the positions of the part's examples in the training set, int64 [N].
            num_train: size of the whole training set.

        Raises:
            UserError: what the recipe reads does not belong to a training set of this size.
        """
        return self

    def __repr__(self) -> str:
        """The recipe and its parameters, as recorded with a run."""
        return f"{type(self).__name__}()"


def check_rate(noise: str, rate: float) -> None:
    """Refuse a noise rate that is no probability."""
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"{noise} got rate {rate}; give a probability from 0 to 1.")


def check_class_count(noise: LabelNoise, num_classes: int) -> None:
    """Refuse a problem that has no wrong labels to give."""
    if num_classes < 2:
        raise UserError(f"{noise!r} got {num_classes} classes; label noise needs at least two.")


def count_of(share: float, total: int) -> int:
    """How many make up a share of a total, rounded down, where 0.29 of 100 is 29 whatever floats say."""
    return int(share * total + 1e-9)

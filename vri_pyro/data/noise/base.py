"""The base class of label noise recipes, and their result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_number


@dataclass(frozen=True, eq=False)
class Replacement:
    """Images replaced by open-set noise.

    Attributes:
        positions: positions of the examples whose image was replaced, int64 [R], without duplicates.
        images: the replacement images, [R, H, W, C], in the data's dtype.
    """

    positions: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Noisy labels with the true labels and the nominal transition matrix.

    Attributes:
        labels: the possibly wrong labels, int64 [N].
        true_labels: the labels before noise injection, int64 [N]; -1 (:data:`~vri_pyro.data.validation.NO_CLASS`) for
            examples that belong to none of the classes.
        transition: the nominal transition matrix, float64 [K, K]. Entry [i, j] is the probability that an example of
            class i is labelled j. For instance-dependent noise it is the mean over the examples of the class; for
            labels from a file it is the realised matrix. In both cases a class without examples gets the row of the
            identity. Examples of no class are ignored.
        replaced: the replaced images; None if the recipe replaces no images.
    """

    labels: np.ndarray
    true_labels: np.ndarray
    transition: np.ndarray
    replaced: Replacement | None = None

    @property
    def flipped(self) -> np.ndarray:
        """Mask of wrong labels, bool [N]."""
        return self.labels != self.true_labels

    @property
    def rate(self) -> float:
        """The realised share of wrong labels."""
        return float(self.flipped.mean())

    @property
    def nominal_rate(self) -> float:
        """The expected share of wrong labels, given the true labels.

        It can differ from the recipe's rate: inclusive uniform noise of rate ρ over C classes has an expected share of
        ρ (1 - 1/C). The label of an example of no class always counts as wrong.
        """
        right = self.transition.diagonal()[self.true_labels]
        return float(1.0 - np.where(self.true_labels == NO_CLASS, 0.0, right).mean())

    @property
    def open_set_rate(self) -> float:
        """The share of examples that belong to none of the classes."""
        return float((self.true_labels == NO_CLASS).mean())

    @property
    def realised_transition(self) -> np.ndarray:
        """The realised transition matrix, float64 [K, K]; the row of a class without examples is nan."""
        return transition_frequencies(self.true_labels, self.labels, len(self.transition))


class LabelNoise(ABC):
    """Base class of label noise recipes.

    To add a recipe, write a subclass and name its class path in the configuration.
    """

    @abstractmethod
    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Inject noise into true labels.

        Args:
            labels: true labels, int64 [N] in 0..num_classes-1.
            features: inputs of the examples, as in :class:`~vri_pyro.data.arrays.Arrays`, for instance-dependent noise.
            num_classes: number of classes K.
            generator: the only source of randomness; draw only with ``generator.random`` (see
                :mod:`vri_pyro.data.randomness`).

        Raises:
            UserError: the recipe does not support this number of classes, or a file that it reads is unusable.
        """

    def for_part(self, indices: np.ndarray, num_train: int) -> LabelNoise:
        """Return the recipe to apply to the labels of a part of the training set.

        By default this is the recipe itself. Override the method if the noise depends on the positions of the examples
        in the training set, such as for labels from a file.

        Args:
            indices: positions of the part's examples in the training set, int64 [N].
            num_train: size of the whole training set.

        Raises:
            UserError: a file that the recipe reads does not match a training set of this size.
        """
        return self

    def __repr__(self) -> str:
        """Return the recipe and its parameters, as saved with a run."""
        return f"{type(self).__name__}()"


def check_rate(noise: str, rate: float) -> None:
    """Raise if a noise rate is not a probability."""
    if not is_number(rate) or not 0.0 <= rate <= 1.0:
        raise UserError(f"{noise} got rate {rate!r}; expected a probability from 0 to 1.")


def check_class_count(noise: LabelNoise, num_classes: int) -> None:
    """Raise if there are fewer than two classes, since no label could be wrong."""
    if num_classes < 2:
        raise UserError(f"{noise!r} got {num_classes} classes; label noise needs at least two.")


def count_of(share: float, total: int) -> int:
    """Return the given share of a total, rounded down."""
    # The offset compensates for floating-point errors: 0.29 of 100 is 29.
    return int(share * total + 1e-9)

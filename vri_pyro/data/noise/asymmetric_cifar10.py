"""Asymmetric noise for CIFAR-10, with confusions between similar classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.utils.errors import UserError

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CONFUSIONS = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}


@dataclass(frozen=True)
class AsymmetricCIFAR10(ClassConditionalNoise):
    """Asymmetric noise for CIFAR-10: similar classes are confused with probability ρ.

    The confusions are truck → automobile, bird → airplane, deer → horse and cat ↔ dog. Labels of airplane, automobile,
    frog, horse and ship stay unchanged, so a share ρ/2 of balanced labels is wrong.

    Reference: Patrini et al., Making deep neural networks robust to label noise, CVPR 2017.

    Attributes:
        rate: ρ, from 0 to 1. Above 0.5 the majority label of each confused class is wrong; for example, most cats are
            labelled dog and most dogs cat.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("AsymmetricCIFAR10", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [10, 10], in CIFAR-10's order of classes; draw nothing.

        Raises:
            UserError: the number of classes is not 10.
        """
        if num_classes != len(CIFAR10_CLASSES):
            raise UserError(f"{self!r} got {num_classes} classes; expected the 10 classes of CIFAR-10.")
        transition = np.eye(num_classes)
        for true, given in CONFUSIONS.items():
            row = CIFAR10_CLASSES.index(true)
            transition[row, row] = 1.0 - self.rate
            transition[row, CIFAR10_CLASSES.index(given)] = self.rate
        return transition

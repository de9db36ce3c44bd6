"""Flip2 noise, where each class is confused with two random other classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class Flip2(ClassConditionalNoise):
    """Flip2 noise: each class is confused with two random other classes, ρ/2 each.

    T[c, c] = 1-ρ. The two targets of a class are distinct and drawn from the seed. Two classes may have the same
    targets.

    Reference: Shu et al., Meta-Weight-Net, NeurIPS 2019.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("Flip2", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw two doubles per class.

        Raises:
            UserError: there are fewer than three classes.
        """
        if num_classes < 3:
            raise UserError(f"{self!r} got {num_classes} classes; expected at least three.")
        classes = np.arange(num_classes)
        choices = np.array([num_classes - 1, num_classes - 2])
        # Both targets are indices into the other classes; the second index also skips the first target.
        first, second = np.floor(generator.random((num_classes, 2)) * choices).astype(np.int64).T
        second += second >= first
        transition = (1.0 - self.rate) * np.eye(num_classes)
        for others in (first, second):
            transition[classes, others + (others >= classes)] = self.rate / 2
        return transition

"""Horizontal flips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, check_images, on_device_of
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_number


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Flips each image horizontally at random. Not suitable for digits and letters.

    Attributes:
        probability: probability of a flip, from 0 to 1.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the probability."""
        if not is_number(self.probability) or not 0.0 <= self.probability <= 1.0:
            raise UserError(f"HorizontalFlip got probability {self.probability!r}; expected a value from 0 to 1.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws one number per image."""
        check_images(self, images)
        flipped = on_device_of(images, generator.random(len(images)) < self.probability)
        return images.flip(-1).where(flipped[:, None, None, None], images)

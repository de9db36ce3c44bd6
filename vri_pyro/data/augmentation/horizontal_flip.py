"""Mirroring images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, check_images, on_device_of
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Mirrors an image, left for right, with some probability. Not for digits and letters.

    Attributes:
        probability: from 0 to 1.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the probability."""
        if not 0.0 <= self.probability <= 1.0:
            raise UserError(f"HorizontalFlip got probability {self.probability}; give one from 0 to 1.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; one number an image."""
        check_images(self, images)
        flipped = on_device_of(images, generator.random(len(images)) < self.probability)
        return images.flip(-1).where(flipped[:, None, None, None], images)

"""Random and central crops, for images stored larger than the classifier's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, check_images, integers, on_device_of
from vri_pyro.data.augmentation.window import windows
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Crops a square at a random position; evaluation uses the central crop.

    Store the images larger than ``size``, so that there is room for the crop.

    Attributes:
        size: side of the square in pixels.
    """

    size: int

    def __post_init__(self) -> None:
        """Check the size."""
        _check_size(self)

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws two numbers per image."""
        _check_larger(self, images)
        top, left = (
            on_device_of(images, integers(generator, len(images), side - self.size + 1)) for side in images.shape[2:]
        )
        return windows(images, top, left, self.size, self.size)

    def evaluation(self) -> Augmentation:
        """Return the central crop of the same size."""
        return CentreCrop(self.size)


@dataclass(frozen=True)
class CentreCrop(Augmentation):
    """Crops the central square; deterministic.

    Attributes:
        size: side of the square in pixels.
    """

    size: int

    def __post_init__(self) -> None:
        """Check the size."""
        _check_size(self)

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`."""
        _check_larger(self, images)
        top, left = ((side - self.size) // 2 for side in images.shape[2:])
        return images[:, :, top : top + self.size, left : left + self.size]

    def evaluation(self) -> Augmentation:
        """Return this crop."""
        return self


def _check_size(crop: RandomCrop | CentreCrop) -> None:
    if not is_integer(crop.size) or crop.size < 1:
        raise UserError(f"{type(crop).__name__} got size {crop.size!r}; expected an integer >= 1.")


def _check_larger(crop: RandomCrop | CentreCrop, images: Tensor) -> None:
    check_images(crop, images)
    if crop.size > min(images.shape[2:]):
        raise UserError(f"{crop!r} got images of {list(images.shape[2:])} pixels; use a smaller size.")

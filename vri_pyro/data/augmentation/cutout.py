"""Cutout, which masks a square of each image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, check_images, integers, on_device_of
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Cutout: masks one square of each image with a grey value.

    The centre of the square is a uniformly drawn pixel, so the image border may clip the square.

    Reference: DeVries and Taylor, Improved regularization of convolutional neural networks with Cutout,
    arXiv:1708.04552; they fill the square with the mean colour.

    Attributes:
        size: side of the square in pixels.
        fill: the grey value of the square, in the units of the images; 127 is near the mean of uint8 images.
    """

    size: int = 16
    fill: float = 127

    def __post_init__(self) -> None:
        """Check the size and the fill."""
        if not is_integer(self.size) or self.size < 1:
            raise UserError(f"Cutout got size {self.size!r}; expected an integer >= 1.")
        if not math.isfinite(self.fill):
            raise UserError(f"Cutout got fill {self.fill}; expected a finite number.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws two numbers per image."""
        check_images(self, images)
        if images.dtype == torch.uint8 and not 0 <= self.fill <= 255:
            raise UserError(f"{self!r} got uint8 images; set fill to a value from 0 to 255.")
        rows, columns = (
            self._hidden(images, integers(generator, len(images), side), side) for side in images.shape[2:]
        )
        hidden = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(hidden, int(self.fill) if images.dtype == torch.uint8 else self.fill)

    def _hidden(self, images: Tensor, centres: np.ndarray, side: int) -> Tensor:
        """Mark the rows or columns inside each square, bool [B, side]."""
        first = on_device_of(images, centres - self.size // 2)[:, None]
        pixels = torch.arange(side, device=images.device)
        return (pixels >= first) & (pixels < first + self.size)

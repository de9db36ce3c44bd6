"""Shifting images: padding, then a random crop of the former size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data.augmentation.base import Augmentation, check_images, integers, on_device_of
from vri_pyro.data.augmentation.window import windows
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class PadCrop(Augmentation):
    """Pads every side, then cuts the former size out at a random place.

    Reference: Lee et al., Deeply-supervised nets, AISTATS 2015; He et al., Deep residual learning, CVPR 2016.

    Attributes:
        padding: pixels on each side, at least 1.
        mode: what they are: "zeros", as is usual, or the image's reflection ("reflect").
    """

    padding: int = 4
    mode: Literal["zeros", "reflect"] = "zeros"

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.padding < 1:
            raise UserError(f"PadCrop got padding {self.padding}; give at least 1.")
        if self.mode not in ("zeros", "reflect"):
            raise UserError(f"PadCrop got mode {self.mode!r}; give 'zeros' or 'reflect'.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; two numbers an image."""
        check_images(self, images)
        count, _, height, width = images.shape
        top, left = (on_device_of(images, integers(generator, count, 2 * self.padding + 1)) for _ in range(2))
        return windows(self._padded(images), top, left, height, width)

    def _padded(self, images: Tensor) -> Tensor:
        sides = [self.padding] * 4
        if self.mode == "zeros":
            return F.pad(images, sides)
        if self.padding >= min(images.shape[2:]):
            raise UserError(f"{self!r} cannot reflect images of {list(images.shape[2:])} pixels; give less padding.")
        if images.dtype == torch.uint8:  # reflection is for floating numbers only; 0 to 255 are exact in them
            return F.pad(images.float(), sides, mode="reflect").byte()
        return F.pad(images, sides, mode="reflect")

"""Random shifts by padding and cropping."""

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
from vri_pyro.utils.numbers import is_integer


@dataclass(frozen=True)
class PadCrop(Augmentation):
    """Pads every side of an image, then crops it to its original size at a random position.

    Reference: Lee et al., Deeply-supervised nets, AISTATS 2015; He et al., Deep residual learning, CVPR 2016.

    Attributes:
        padding: padding on each side in pixels, at least 1.
        mode: fill of the padding: "zeros", the usual choice, or "reflect" for the image's reflection.
    """

    padding: int = 4
    mode: Literal["zeros", "reflect"] = "zeros"

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not is_integer(self.padding) or self.padding < 1:
            raise UserError(f"PadCrop got padding {self.padding!r}; expected an integer >= 1.")
        if self.mode not in ("zeros", "reflect"):
            raise UserError(f"PadCrop got mode {self.mode!r}; expected 'zeros' or 'reflect'.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws two numbers per image."""
        check_images(self, images)
        count, _, height, width = images.shape
        top, left = (on_device_of(images, integers(generator, count, 2 * self.padding + 1)) for _ in range(2))
        return windows(self._padded(images), top, left, height, width)

    def _padded(self, images: Tensor) -> Tensor:
        sides = [self.padding] * 4
        if self.padding > min(images.shape[2:]):  # most crops would show nothing of the image
            raise UserError(f"{self!r} got images of {list(images.shape[2:])} pixels; use less padding.")
        if self.mode == "zeros":
            return F.pad(images, sides)
        if self.padding == min(images.shape[2:]):
            raise UserError(f"{self!r} cannot reflect images of {list(images.shape[2:])} pixels; use less padding.")
        if images.dtype == torch.uint8:  # PyTorch reflects only floating dtypes, which represent 0 to 255 exactly
            return F.pad(images.float(), sides, mode="reflect").byte()
        return F.pad(images, sides, mode="reflect")

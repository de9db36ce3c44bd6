"""RandAugment with separate random operations for each image of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, check_images, integers, on_device_of
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer

# The order defines the number of each operation in a draw. Operations with a sign come first.
_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
_UNSIGNED = ("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize")
OPERATIONS = (*_SIGNED, *_UNSIGNED)
_HIGHEST = 30


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """RandAugment: applies random operations of fixed magnitude to each image.

    The fourteen operations and their ranges are torchvision's; the sign of the magnitude is random. Each image draws
    its own operations, unlike in libraries such as Kornia, which draw one sequence of operations per batch. Since the
    magnitude is fixed, one call of torchvision's function serves all images that drew the same operation and sign.

    Reference: Cubuk et al., RandAugment, CVPR workshops 2020.

    Attributes:
        num_ops: n, the number of operations per image.
        magnitude: m, from 0 to 30.

    Raises:
        UserError: a parameter is out of range, or the images are not uint8 with 1 or 3 channels.
    """

    num_ops: int = 2
    magnitude: int = 10

    def __post_init__(self) -> None:
        """Check the parameters."""
        if not is_integer(self.num_ops) or self.num_ops < 1:
            raise UserError(f"RandAugment got num_ops {self.num_ops!r}; expected an integer >= 1.")
        if not is_integer(self.magnitude) or not 0 <= self.magnitude <= _HIGHEST:
            raise UserError(f"RandAugment got magnitude {self.magnitude!r}; expected an integer from 0 to {_HIGHEST}.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws two numbers per image and operation."""
        check_images(self, images)
        if images.dtype != torch.uint8 or images.shape[1] not in (1, 3):
            raise UserError(
                f"{self!r} got {images.dtype} images with {images.shape[1]} channels; "
                "expected uint8 images with 1 or 3 channels."
            )
        for _ in range(self.num_ops):
            chosen = integers(generator, len(images), len(OPERATIONS))
            negative = generator.random(len(images)) < 0.5
            images = self._applied(images, chosen, negative)
        return images

    def _applied(self, images: Tensor, chosen: np.ndarray, negative: np.ndarray) -> Tensor:
        """Apply one operation to each image, given its number, int64 [B], and whether it is negated, bool [B]."""
        group = chosen * 2 + (negative & (chosen < len(_SIGNED)))
        height, width = images.shape[2:]
        # After sorting, each group is a slice, so that one gather and one scatter serve all groups.
        order = on_device_of(images, np.argsort(group, kind="stable"))
        numbers, sizes = np.unique(group, return_counts=True)
        grouped = images[order]
        for number, members in zip(numbers, grouped.split(sizes.tolist()), strict=True):
            name, sign = OPERATIONS[number // 2], -1 if number % 2 else 1
            if name != "Identity":
                members.copy_(operation(name, sign, self.magnitude, (height, width))(members))
        changed = torch.empty_like(grouped)
        changed[order] = grouped
        return changed


# Every batch uses the same few operations; without the cache, building them takes about a fifth of the time on small
# images.
@cache
def operation(name: str, sign: int, magnitude: int, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Return one of torchvision's RandAugment operations, a function of uint8 images [..., C, H, W].

    Args:
        name: one of :data:`OPERATIONS`.
        sign: sign of the magnitude, 1 or -1.
        magnitude: from 0 to 30.
        size: (H, W) of the images.
    """
    from torchvision.transforms.v2 import functional as F  # slow to import

    height, width = size

    def level(highest: float) -> float:
        # Single precision, as in torchvision, so that every pixel is rounded identically.
        return sign * float(torch.linspace(0.0, highest, _HIGHEST + 1)[magnitude])

    def sheared(x: float, y: float) -> Callable[[Tensor], Tensor]:
        degrees = [math.degrees(math.atan(part)) for part in (x, y)]
        return lambda images: F.affine(images, 0.0, [0, 0], 1.0, degrees, center=[0, 0])

    def shifted(x: float, y: float) -> Callable[[Tensor], Tensor]:
        return lambda images: F.affine(images, 0.0, [int(x), int(y)], 1.0, [0.0, 0.0])

    factor = 1.0 + level(0.9)
    operations: dict[str, Callable[[Tensor], Tensor]] = {
        "Identity": lambda images: images,
        "ShearX": sheared(level(0.3), 0.0),
        "ShearY": sheared(0.0, level(0.3)),
        "TranslateX": shifted(level(150.0 / 331.0 * width), 0.0),
        "TranslateY": shifted(0.0, level(150.0 / 331.0 * height)),
        "Rotate": lambda images: F.rotate(images, level(30.0)),
        "Brightness": lambda images: F.adjust_brightness(images, factor),
        "Color": lambda images: F.adjust_saturation(images, factor),
        "Contrast": lambda images: F.adjust_contrast(images, factor),
        "Sharpness": lambda images: F.adjust_sharpness(images, factor),
        "Posterize": lambda images: F.posterize(images, round(8 - 4 * magnitude / _HIGHEST)),
        "Solarize": lambda images: F.solarize(images, 255 * float(torch.linspace(1.0, 0.0, _HIGHEST + 1)[magnitude])),
        "AutoContrast": F.autocontrast,
        "Equalize": F.equalize,
    }
    return operations[name]

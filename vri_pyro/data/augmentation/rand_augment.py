"""RandAugment with operations of each image's own."""

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

# Each by its number in a draw; those that a sign changes come first.
_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
_UNSIGNED = ("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize")
OPERATIONS = (*_SIGNED, *_UNSIGNED)
_HIGHEST = 30


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """Applies some of fourteen operations, one after the other, each at the same magnitude and of random sign.

    The operations and their ranges are torchvision's. Since the magnitude is fixed, images that drew the same
    operation and sign are changed by one call of torchvision's function, which treats the images of a batch on their
    own. (Libraries that change whole batches, such as Kornia, draw one sequence of operations a batch.)

    Reference: Cubuk et al., RandAugment, CVPR workshops 2020.

    Attributes:
        num_ops: n, operations an image.
        magnitude: m, from 0 to 30.

    Raises:
        UserError: a parameter is out of range; when called, images that are not uint8 or have neither 1 nor 3 channels.
    """

    num_ops: int = 2
    magnitude: int = 10

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.num_ops < 1:
            raise UserError(f"RandAugment got num_ops {self.num_ops}; give at least 1.")
        if not 0 <= self.magnitude <= _HIGHEST:
            raise UserError(f"RandAugment got magnitude {self.magnitude}; give 0 to {_HIGHEST}.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; two numbers an image and operation."""
        check_images(self, images)
        if images.dtype != torch.uint8 or images.shape[1] not in (1, 3):
            raise UserError(
                f"{self!r} got {images.dtype} images with {images.shape[1]} channels; give uint8 images of 1 or 3."
            )
        for _ in range(self.num_ops):
            chosen = integers(generator, len(images), len(OPERATIONS))
            negative = generator.random(len(images)) < 0.5
            images = self._applied(images, chosen, negative)
        return images

    def _applied(self, images: Tensor, chosen: np.ndarray, negative: np.ndarray) -> Tensor:
        """One operation an image, by its number, int64 [B], and sign, bool [B]."""
        group = chosen * 2 + (negative & (chosen < len(_SIGNED)))
        height, width = images.shape[2:]
        # Sorted by group, the members of each are a slice: one gather and one scatter serve all groups.
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


# Every batch asks for the same few; building them anew would be about a fifth of the work on small images.
@cache
def operation(name: str, sign: int, magnitude: int, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """One of torchvision's operations on uint8 images [..., C, H, W].

    Args:
        name: which of :data:`OPERATIONS`.
        sign: 1 or -1.
        magnitude: from 0 to 30.
        size: (H, W) of the images.
    """
    from torchvision.transforms.v2 import functional as F  # slow to import, and only needed here

    height, width = size

    def level(highest: float) -> float:
        # In single precision, as torchvision has it, so that every pixel rounds as there.
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

"""What augmentation is: a random change of a batch of images, drawn for each image on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from vri_pyro.data.randomness import generator_for
from vri_pyro.utils.errors import UserError


class Augmentation(ABC):
    """Changes images where they lie. Subclass it, and name the class in a configuration, to add one."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 (0 to 255) or float32 [B, C, H, W], on any device.
            generator: the only source of randomness. It is drawn from on the CPU, with ``generator.random`` alone, so
                that the draws do not depend on the device, and as often as the batch's shape says.

        Returns:
            images of the same dtype on the same device.

        Raises:
            UserError: these are no images, or not of a kind that the augmentation can change.
        """

    def evaluation(self) -> Augmentation:
        """What is done to images that are not augmented, so that they get the same shape; nothing for most."""
        return NoAugmentation()

    def output_shape(self, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> tuple[int, ...]:
        """The shape of one augmented input, (C, H, W) or (D,), from that of an input.

        Raises:
            UserError: such inputs cannot be augmented.
        """
        blank = torch.from_numpy(np.zeros((1, *shape), dtype))
        return tuple(self(blank, generator_for(0)).shape[1:])


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Leaves images, and vectors too, as they are."""

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """The same inputs; nothing is drawn."""
        return images


def check_images(augmentation: Augmentation, images: Tensor) -> None:
    """Refuse what is no batch of images."""
    if images.dim() != 4:
        raise UserError(
            f"{augmentation!r} got inputs of shape {list(images.shape[1:])}, but it is for images; take NoAugmentation."
        )


def on_device_of(images: Tensor, values: np.ndarray) -> Tensor:
    """Small per-image parameters where the images are, without waiting for the device."""
    return torch.from_numpy(values).to(images.device, non_blocking=True)


def integers(generator: np.random.Generator, count: int, end: int) -> np.ndarray:
    """Uniform draws from 0..end-1, int64 [count]: one double each."""
    return (generator.random(count) * end).astype(np.int64)

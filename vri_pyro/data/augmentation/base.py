"""The base class of augmentations, and helpers for its subclasses."""

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
    """Base class of random augmentations of image batches, on any device.

    To add an augmentation, write a subclass and name its class path in the configuration.

    Attributes:
        mixes: whether an image depends on others of its batch. Several processes that share a batch then all read the
            whole batch.
    """

    mixes = False  # not annotated: jsonargparse could not read the annotations of subclasses that are dataclasses

    @abstractmethod
    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 (0 to 255) or float32 [B, C, H, W], on any device.
            generator: the only source of randomness. Implementations draw on the CPU and only with
                ``generator.random``, so that the draws do not depend on the device. The number of draws may only
                depend on the shape of the batch.

        Returns:
            augmented images, of the same dtype and on the same device.

        Raises:
            UserError: the inputs are not images, or the augmentation does not support their dtype or shape.
        """

    def evaluation(self) -> Augmentation:
        """Return the deterministic transform for evaluation, with the same output shape as the augmentation.

        By default it leaves images unchanged. Augmentations that change the shape override it.
        """
        return NoAugmentation()

    def output_shape(self, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> tuple[int, ...]:
        """Return the shape of one augmented input, (C, H, W) or (D,), for an input of the given shape and dtype.

        Raises:
            UserError: the augmentation does not support such inputs.
        """
        blank = torch.from_numpy(np.zeros((1, *shape), dtype))
        return tuple(self(blank, generator_for(0)).shape[1:])


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """No augmentation; images and vectors stay unchanged."""

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """Return the inputs unchanged; draw nothing."""
        return images


def check_images(augmentation: Augmentation, images: Tensor) -> None:
    """Raise if the inputs are not a batch of images."""
    if images.dim() != 4:
        raise UserError(
            f"{augmentation!r} got inputs of shape {list(images.shape[1:])} but requires images; use NoAugmentation."
        )


def on_device_of(images: Tensor, values: np.ndarray) -> Tensor:
    """Copy per-image parameters to the device of the images, without host-device synchronisation."""
    return torch.from_numpy(values).to(images.device, non_blocking=True)


def integers(generator: np.random.Generator, count: int, end: int) -> np.ndarray:
    """Draw uniform integers from 0..end-1, int64 [count], with one double per integer."""
    return (generator.random(count) * end).astype(np.int64)

"""Torchvision transforms and custom modules, applied image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vri_pyro.data.augmentation.base import Augmentation, NoAugmentation, check_images


@dataclass(frozen=True)
class Transforms(Augmentation):
    """Applies modules to each image [C, H, W], such as ``torchvision.transforms.v2``.

    It is slower than the other augmentations, which process a whole batch at once. For streamed data, worker processes
    hide this cost. PyTorch's random generator is seeded for every image and restored afterwards.

    Attributes:
        modules: the modules, applied in order.
        evaluated: the modules for evaluation, needed if ``modules`` change the size of the images.
    """

    modules: tuple[nn.Module, ...]
    evaluated: tuple[nn.Module, ...] = ()

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws one number per image."""
        check_images(self, images)
        seeds = (generator.random(len(images)) * 2**53).astype(np.int64)
        with torch.random.fork_rng(devices=[]):
            return torch.stack([self._one(image, int(seed)) for image, seed in zip(images, seeds, strict=True)])

    def evaluation(self) -> Augmentation:
        """Return the transform with the modules for evaluation."""
        return Transforms(self.evaluated, self.evaluated) if self.evaluated else NoAugmentation()

    def _one(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        for module in self.modules:
            image = module(image)
        return image

"""Torchvision's transforms, or one's own, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vri_pyro.data.augmentation.base import Augmentation, NoAugmentation, check_images


@dataclass(frozen=True)
class Transforms(Augmentation):
    """Any modules that change one image [C, H, W], such as those of ``torchvision.transforms.v2``, image by image.

    Slower than the other augmentations, which take a batch at once; workers of streamed data hide that. PyTorch's
    random stream is seeded for every image and put back in the end.

    Attributes:
        modules: applied in order.
        evaluated: applied instead to images that are not augmented, where the modules change the images' size.
    """

    modules: tuple[nn.Module, ...]
    evaluated: tuple[nn.Module, ...] = ()

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; one number an image."""
        check_images(self, images)
        seeds = (generator.random(len(images)) * 2**53).astype(np.int64)
        with torch.random.fork_rng(devices=[]):
            return torch.stack([self._one(image, int(seed)) for image, seed in zip(images, seeds, strict=True)])

    def evaluation(self) -> Augmentation:
        """The modules for evaluation."""
        return Transforms(self.evaluated, self.evaluated) if self.evaluated else NoAugmentation()

    def _one(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)
        for module in self.modules:
            image = module(image)
        return image

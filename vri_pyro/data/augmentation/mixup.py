"""Mixing each input with another of its batch: the one augmentation that looks at other images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, on_device_of
from vri_pyro.data.randomness import beta, permutation
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Mixes each image, or vector, with another of its batch, and keeps its label: mixup for any method.

    Mixup trains on λx + (1 − λ)x′ with the loss λ·ℓ(y) + (1 − λ)·ℓ(y′), λ ~ Beta(α, α). Because x and x′ are
    exchangeable, the expected loss is the same as that of ℓ(y) alone under λ ~ Beta(α + 1, α), which is what is
    drawn here, once an image. So labels stay labels, and models, guides and methods of two views need not know.

    Reference: Zhang et al. (2018), mixup: beyond empirical risk minimization, arXiv:1710.09412; Huszár (2017), mixup:
    data-dependent data augmentation, for the identity.

    Attributes:
        alpha: α; 0.2 is what the paper's script takes for its clean set.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        """Check α."""
        if not 0 < self.alpha < math.inf:
            raise UserError(f"Mixup got alpha {self.alpha}; give more than 0.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; two numbers an image. Vectors [B, D] will do as well."""
        count = len(images)
        other = on_device_of(images, permutation(generator, count))
        drawn = beta(generator, self.alpha + 1, self.alpha, count).astype(np.float32)
        weight = on_device_of(images, drawn).reshape(-1, *[1] * (images.dim() - 1))
        own = images.float()
        mixed = weight * own + (1 - weight) * own[other]
        return mixed.round().to(torch.uint8) if images.dtype == torch.uint8 else mixed

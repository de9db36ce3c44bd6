"""Mixup as an augmentation, which mixes each input with another input of its batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, on_device_of
from vri_pyro.data.randomness import beta, permutation
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_number


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Mixup with unmixed labels, for any method: mixes each input with another of its batch.

    Mixup trains on λx + (1 − λ)x′ with the loss λ·ℓ(y) + (1 − λ)·ℓ(y′), where λ ~ Beta(α, α). Because x and x′ are
    exchangeable, the expected loss equals the expectation of ℓ(y) alone under λ ~ Beta(α + 1, α). This class draws λ
    from the latter distribution, once per image. Labels therefore stay integers, and models, guides and two-view
    methods work unchanged. Images and vectors [B, D] are supported.

    Reference: Zhang et al. (2018), mixup: beyond empirical risk minimization, arXiv:1710.09412; Huszár (2017), mixup:
    data-dependent data augmentation, for the identity.

    Attributes:
        alpha: α, above 0. The paper's script uses 0.2 for its clean set.
    """

    mixes = True
    alpha: float = 0.2

    def __post_init__(self) -> None:
        """Check α."""
        if not is_number(self.alpha) or not 0 < self.alpha < math.inf:
            raise UserError(f"Mixup got alpha {self.alpha!r}; expected a finite value > 0.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`; draws two numbers per image or vector [B, D]."""
        count = len(images)
        other = on_device_of(images, permutation(generator, count))
        drawn = beta(generator, self.alpha + 1, self.alpha, count).astype(np.float32)
        weight = on_device_of(images, drawn).reshape(-1, *[1] * (images.dim() - 1))
        own = images.float()
        mixed = weight * own + (1 - weight) * own[other]
        return mixed.round().to(torch.uint8) if images.dtype == torch.uint8 else mixed

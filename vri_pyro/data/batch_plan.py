"""Which examples, under which augmentation, make up the batch of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch_order import batch_indices
from vri_pyro.data.randomness import generator_for


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """A sequence of batches as a pure function of the step's number, so that it can be resumed and shared out anywhere.

    Attributes:
        pool: positions of the examples to draw from, int64 [n].
        size: examples a batch; a pool that is no larger is used whole.
        seed: the run's seed.
        purpose: tells sequences with the same seed apart, such as ``"clean batches"``.
        augmentation: what is done to the images of a batch.
        views: how often each image is augmented, 1 or 2.
    """

    pool: np.ndarray
    size: int
    seed: int
    purpose: str
    augmentation: Augmentation = NoAugmentation()
    views: Literal[1, 2] = 1

    def indices(self, step: int) -> np.ndarray:
        """Positions of the examples of one step, int64 [min(size, n)]; see :func:`batch_indices`."""
        return self.pool[batch_indices(len(self.pool), self.size, self.seed, self.purpose, step)]

    def augmented(self, images: Tensor, step: int) -> list[Tensor]:
        """The views of a step's images [B, C, H, W], or, without an augmentation, of its vectors [B, D]."""
        generators = (generator_for(self.seed, self.purpose, "view", view, step) for view in range(self.views))
        return [self.augmentation(images, generator) for generator in generators]

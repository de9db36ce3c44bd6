"""The examples and the augmentation of the batch at each step."""

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
    """A sequence of batches, as a pure function of the step.

    The sequence can therefore be resumed at any step and divided among worker processes.

    Attributes:
        pool: positions of the examples to draw from, int64 [n].
        size: examples per batch; if it is at least n, every batch contains the whole pool.
        seed: the run's seed.
        purpose: distinguishes sequences with the same seed, such as ``"clean batches"``.
        augmentation: the augmentation of the batch's images.
        views: number of augmented views of each image, 1 or 2.
    """

    pool: np.ndarray
    size: int
    seed: int
    purpose: str
    augmentation: Augmentation = NoAugmentation()
    views: Literal[1, 2] = 1

    def indices(self, step: int) -> np.ndarray:
        """Return the positions of one step's examples, int64 [min(size, n)].

        See :func:`~vri_pyro.data.batch_order.batch_indices`.
        """
        return self.pool[batch_indices(len(self.pool), self.size, self.seed, self.purpose, step)]

    def augmented(self, images: Tensor, step: int) -> list[Tensor]:
        """Return the augmented views of a step's images [B, C, H, W], or of its vectors [B, D]."""
        generators = (generator_for(self.seed, self.purpose, "view", view, step) for view in range(self.views))
        return [self.augmentation(images, generator) for generator in generators]

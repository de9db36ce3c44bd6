"""The examples and the augmentation of the batch at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch_order import batch_indices
from vri_pyro.data.randomness import generator_for, rows_of
from vri_pyro.utils.processes import ALONE, Share


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
        share: the part of every batch whose images are read and augmented, if several processes train together. Each
            image is augmented as in the whole batch.
    """

    pool: np.ndarray
    size: int
    seed: int
    purpose: str
    augmentation: Augmentation = NoAugmentation()
    views: Literal[1, 2] = 1
    share: Share = ALONE

    def indices(self, step: int) -> np.ndarray:
        """Return the positions of one step's examples in the whole batch, int64 [min(size, n)].

        See :func:`~vri_pyro.data.batch_order.batch_indices`.
        """
        return self.pool[batch_indices(len(self.pool), self.size, self.seed, self.purpose, step)]

    def read(self, step: int) -> np.ndarray:
        """Return the positions of the examples that :meth:`augmented` needs: those of the share.

        If the augmentation mixes images of the batch, it needs them all.
        """
        indices = self.indices(step)
        return indices if self.augmentation.mixes else indices[self.share.rows(len(indices))]

    def augmented(self, images: Tensor, step: int) -> list[Tensor]:
        """Return the share's augmented views of the images [b, C, H, W], or vectors [b, D], at :meth:`read`."""
        if isinstance(self.augmentation, NoAugmentation):
            return [images] * self.views  # without generators, which take a while
        total = min(self.size, len(self.pool))
        rows = self.share.rows(total)
        generators = (generator_for(self.seed, self.purpose, "view", view, step) for view in range(self.views))
        if self.augmentation.mixes:
            return [self.augmentation(images, generator)[rows] for generator in generators]
        return [self.augmentation(images, rows_of(generator, rows, total)) for generator in generators]

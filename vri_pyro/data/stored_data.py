"""A data set of vectors that stay on disk, with batches read in place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch import Batch
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.data.examples import BatchSequence, Examples
from vri_pyro.data.randomness import generator_for
from vri_pyro.data.stored import StoredVectors


class StoredData(Examples):
    """Vectors on disk, with labels in memory; each batch reads its rows only.

    The batches equal those of :class:`~vri_pyro.data.DeviceData` on the same vectors in memory.

    Args:
        vectors: the vectors.
        y, device, mean, std, crop: see :class:`~vri_pyro.data.examples.Examples`.
    """

    def __init__(
        self,
        vectors: StoredVectors,
        y: np.ndarray,
        device: torch.device | str,
        mean: np.ndarray,
        std: np.ndarray,
        crop: Augmentation = NoAugmentation(),
    ) -> None:
        super().__init__(vectors, y, device, mean, std, crop)
        self._vectors = vectors

    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """See :class:`Examples`."""
        return partial(self._planned, plan)

    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """See :class:`Examples`."""
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            yield self._labelled([self._crop(self._read(chosen), generator_for(0))], self._on_device(chosen))

    def _planned(self, plan: BatchPlan, step: int) -> Batch:
        x = plan.augmented(self._read(plan.read(step)), step)
        return self._labelled(x, self._on_device(plan.indices(step)))

    def _read(self, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(self._vectors[indices]).to(self.device, non_blocking=True)

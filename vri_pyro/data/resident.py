"""A data set held on the device, with batches gathered and augmented there."""

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


class DeviceData(Examples):
    """Inputs and labels held entirely on one device.

    Inputs keep their compact dtype; each batch is converted to float32 when it is made.

    Args:
        x: inputs, uint8 or float32, images [N, H, W, C] or vectors [N, D].
        y, device, mean, std, crop: see :class:`~vri_pyro.data.examples.Examples`.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        device: torch.device | str,
        mean: np.ndarray,
        std: np.ndarray,
        crop: Augmentation = NoAugmentation(),
    ) -> None:
        super().__init__(x, y, device, mean, std, crop)
        # torch.tensor copies: later changes of the array must not affect the data, and the array may be read-only.
        inputs = torch.tensor(np.ascontiguousarray(x), device=self.device)
        self._x = inputs.permute(0, 3, 1, 2).contiguous() if inputs.dim() == 4 else inputs

    def batch(self, indices: np.ndarray | Tensor) -> Batch:
        """Return the batch of examples at the given positions, integers [B], cropped and standardised."""
        index = self._on_device(indices)
        return self._labelled([self._crop(self._x[index], generator_for(0))], index)

    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """See :class:`Examples`."""
        return partial(self._planned, plan)

    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """See :class:`Examples`."""
        for start in range(0, len(indices), batch_size):
            yield self.batch(indices[start : start + batch_size])

    def _planned(self, plan: BatchPlan, step: int) -> Batch:
        images = self._x[self._on_device(plan.read(step))]
        return self._labelled(plan.augmented(images, step), self._on_device(plan.indices(step)))

"""A data set that lives on the device, and the batches gathered and augmented there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch_plan import BatchPlan, unaugmented
from vri_pyro.data.examples import BatchSequence, Examples
from vri_pyro.errors import UserError
from vri_pyro.labelled import Labelled


class DeviceData(Examples):
    """Inputs and labels held whole on one device, in their compact dtype; batches are converted on the fly.

    Args:
        x: inputs, uint8 or float32, images [N, H, W, C] or vectors [N, D].
        y, device, mean, std, crop: see :class:`Examples`.

    Raises:
        UserError: the lengths of x and y differ, or mean or std have another length than x has channels.
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
        if len(x) != len(y):
            raise UserError(f"There are {len(x)} inputs but {len(y)} labels; give one label an example.")
        super().__init__(x.shape[1:], y, device, mean, std, crop)
        # A copy: later changes of the arrays must not reach the data, and read-only ones do no harm.
        inputs = torch.tensor(np.ascontiguousarray(x), device=self.device)
        self._x = inputs.permute(0, 3, 1, 2).contiguous() if inputs.dim() == 4 else inputs

    def batch(self, indices: np.ndarray | Tensor) -> Labelled:
        """The examples at some positions, integers [B], on the device, cropped and standardised."""
        return self._labelled([unaugmented(self._x[self._on_device(indices)], self._crop)], indices)

    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """See :class:`Examples`."""
        return _Gathered(self, plan)

    def planned(self, plan: BatchPlan, step: int) -> Labelled:
        """The batch of one step of a plan."""
        index = self._on_device(plan.indices(step))
        return self._labelled(plan.augmented(self._x[index], step), index)

    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Labelled]:
        """See :class:`Examples`."""
        for start in range(0, len(indices), batch_size):
            yield self.batch(indices[start : start + batch_size])


class _Gathered(BatchSequence):
    def __init__(self, data: DeviceData, plan: BatchPlan) -> None:
        self._data, self._plan = data, plan

    def at(self, step: int) -> Labelled:
        """See :class:`BatchSequence`."""
        return self._data.planned(self._plan, step)

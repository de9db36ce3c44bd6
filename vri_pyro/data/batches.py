"""A data set that lives on the device, and the batches gathered from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.errors import UserError


class Batch(NamedTuple):
    """Some examples.

    Attributes:
        x: standardised inputs, float32 [B, C, H, W] or [B, D].
        y: labels, int64 [B].
        index: positions of the examples in their :class:`DeviceData`, int64 [B].
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class DeviceData:
    """Inputs and labels held whole on one device, in their compact dtype; batches are converted on the fly.

    Args:
        x: inputs, uint8 or float32, images [N, H, W, C] or vectors [N, D].
        y: labels, int64 [N].
        device: where everything is held and gathered.
        mean: subtracted from the inputs, per channel [C] or dimension [D]; in units of [0, 1] for uint8.
        std: what the difference is divided by, of the same shape; 0 is treated as 1.

    Raises:
        UserError: the lengths of x and y differ, or mean or std have another length than x has channels.
    """

    def __init__(
        self, x: np.ndarray, y: np.ndarray, device: torch.device | str, mean: np.ndarray, std: np.ndarray
    ) -> None:
        if len(x) != len(y):
            raise UserError(f"There are {len(x)} inputs but {len(y)} labels; give one label an example.")
        if mean.shape != (x.shape[-1],) or std.shape != mean.shape:
            raise UserError(
                f"mean has shape {mean.shape} and std {std.shape}, but inputs have {x.shape[-1]} channels; "
                "compute both from the training inputs with mean_and_std."
            )
        self.device = torch.device(device)
        # A copy: later changes of the arrays must not reach the data, and read-only ones do no harm.
        inputs = torch.tensor(np.ascontiguousarray(x), device=self.device)
        self._x = inputs.permute(0, 3, 1, 2).contiguous() if inputs.dim() == 4 else inputs
        self._y = torch.tensor(y, dtype=torch.int64, device=self.device)
        broadcast = (-1, 1, 1) if inputs.dim() == 4 else (-1,)
        self._mean = self._constant(mean).reshape(broadcast)
        self._std = self._constant(np.where(std == 0, 1.0, std)).reshape(broadcast)

    def __len__(self) -> int:
        """The number of examples N."""
        return len(self._y)

    def batch(self, indices: np.ndarray | Tensor) -> Batch:
        """Gather examples.

        Args:
            indices: positions, integers [B] in 0..N-1.

        Returns:
            The batch, on the device, standardised.
        """
        index = torch.as_tensor(indices, dtype=torch.int64).to(self.device, non_blocking=True)
        x = self._x[index]
        scaled = x.float() / 255 if x.dtype == torch.uint8 else x
        return Batch((scaled - self._mean) / self._std, self._y[index], index)

    def _constant(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

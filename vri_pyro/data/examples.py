"""Batch inputs, wherever they are held, as what training and evaluation ask of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch import Batch
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.data.streamed import Inputs
from vri_pyro.utils.errors import UserError

# The batches of a plan by the step's number; steps may be asked for in any order, best in theirs.
BatchSequence = Callable[[int], Batch]


class Examples(ABC):
    """Batch inputs of which batches are made on a device.

    Args:
        inputs: images [N, H, W, C] or vectors [N, D], of which only the shape is looked at here.
        y: labels, int64 [N].
        device: where batches are wanted.
        mean: subtracted from the inputs, per channel [C] or dimension [D]; in units of [0, 1] for uint8.
        std: what the difference is divided by, of the same shape; 0 is treated as 1.
        crop: what is done to images that are not augmented, such as a central crop; it draws nothing.

    Raises:
        UserError: there is not one label an input, or mean or std have another length than the inputs have channels.
    """

    def __init__(
        self,
        inputs: Inputs,
        y: np.ndarray,
        device: torch.device | str,
        mean: np.ndarray,
        std: np.ndarray,
        crop: Augmentation = NoAugmentation(),
    ) -> None:
        if len(inputs) != len(y):
            raise UserError(f"There are {len(inputs)} inputs but {len(y)} labels; give one label an example.")
        channels = inputs.shape[-1]
        if mean.shape != (channels,) or std.shape != mean.shape:
            raise UserError(
                f"mean has shape {mean.shape} and std {std.shape}, but inputs have {channels} channels; "
                "compute both from the training inputs with mean_and_std."
            )
        self.device, self._crop = torch.device(device), crop
        self.y = torch.tensor(y, dtype=torch.int64, device=self.device)
        broadcast = (-1, 1, 1) if inputs.ndim == 4 else (-1,)
        self._mean = self._constant(mean).reshape(broadcast)
        self._std = self._constant(np.where(std == 0, 1.0, std)).reshape(broadcast)

    def __len__(self) -> int:
        """The number of examples N."""
        return len(self.y)

    @abstractmethod
    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """The batches of a plan, on the device, standardised."""

    @abstractmethod
    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """The examples at some positions, int64 [n], in that order, cropped but not augmented."""

    def listed(self, index: int) -> str | None:
        """What the list that an input is on calls it, such as its path; None for inputs in memory."""
        return None

    def original(self, x: Tensor) -> Tensor:
        """A batch's inputs [B, ...] as they were before they were standardised; in units of [0, 1] for uint8."""
        return x * self._std + self._mean

    def _labelled(self, views: Sequence[Tensor], index: Tensor) -> Batch:
        """A batch of one or two views of inputs that lie on the device as they are held, like their positions."""
        standardised = [self._standardised(view) for view in views]
        return Batch(standardised[0], self.y[index], index, standardised[1] if len(views) > 1 else None)

    def _on_device(self, indices: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(indices, dtype=torch.int64).to(self.device, non_blocking=True)

    def _standardised(self, x: Tensor) -> Tensor:
        scaled = x.float() / 255 if x.dtype == torch.uint8 else x
        return (scaled - self._mean) / self._std

    def _constant(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

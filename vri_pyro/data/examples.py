"""The interface that makes batches of resident and streamed data sets."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch import Batch
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.data.statistics import standardise
from vri_pyro.data.streamed import Inputs
from vri_pyro.utils.errors import UserError

# Maps a step to its batch. Any order of steps works; consecutive steps are fastest.
BatchSequence = Callable[[int], Batch]


class Examples(ABC):
    """Base class of labelled examples that are served as standardised batches on a device.

    Args:
        inputs: images [N, H, W, C] or vectors [N, D]; this class only uses their shape.
        y: labels, int64 [N].
        device: the device of the batches.
        mean: the mean to subtract, per channel [C] or dimension [D]; for uint8 inputs in units of [0, 1].
        std: the standard deviation to divide by, of the same shape and units; 0 is replaced by 1.
        crop: deterministic transform of images that are not augmented, such as a central crop.

    Attributes:
        mean, std: the standardisation, as given.

    Raises:
        UserError: the numbers of inputs and labels differ, or the length of mean or std differs from the number of
            channels or dimensions.
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
            raise UserError(f"There are {len(inputs)} inputs but {len(y)} labels; expected one label per example.")
        channels = inputs.shape[-1]
        if mean.shape != (channels,) or std.shape != mean.shape:
            raise UserError(
                f"mean has shape {mean.shape} and std {std.shape}, but inputs have {channels} channels; "
                "compute both from the training inputs with mean_and_std."
            )
        self.device, self._crop = torch.device(device), crop
        self.y = torch.tensor(y, dtype=torch.int64, device=self.device)
        self.mean, self.std = mean, std
        broadcast = (-1, 1, 1) if inputs.ndim == 4 else (-1,)
        self._mean = self._constant(mean).reshape(broadcast)
        self._std = self._constant(np.where(std == 0, 1.0, std)).reshape(broadcast)

    def __len__(self) -> int:
        """The number of examples N."""
        return len(self.y)

    @abstractmethod
    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """Return a function from steps to the plan's batches, standardised and on the device."""

    @abstractmethod
    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """Yield batches of the examples at the given positions, int64 [n], in order, cropped but not augmented."""

    def listed(self, index: int) -> str | None:
        """Return the name of an input in its list, such as its relative path; None for inputs in memory."""
        return None

    def with_labels(self, y: np.ndarray) -> Self:
        """Return the same inputs with other labels, int64 [N]; the inputs are shared."""
        other = copy.copy(self)
        other.y = torch.tensor(y, dtype=torch.int64, device=self.device)
        return other

    def file(self, index: int) -> str | None:
        """Return the path of the file of an input; None if the input has no file of its own."""
        return None

    def original(self, x: Tensor) -> Tensor:
        """Undo the standardisation of a batch's inputs [B, ...]; uint8 inputs are returned in units of [0, 1]."""
        return x * self._std + self._mean

    def _labelled(self, views: Sequence[Tensor], index: Tensor) -> Batch:
        """Build a batch from one or two views of the inputs and their positions, all on the device.

        The views have the dtype of the stored inputs and are standardised here.
        """
        standardised = [self._standardised(view) for view in views]
        return Batch(standardised[0], self.y[index], index, standardised[1] if len(views) > 1 else None)

    def _on_device(self, indices: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(indices, dtype=torch.int64).to(self.device, non_blocking=True)

    def _standardised(self, x: Tensor) -> Tensor:
        return standardise(x, self._mean, self._std)

    def _constant(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

"""A batch of inputs with labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError, UserTypeError
from vri_pyro.utils.joined import own_rows
from vri_pyro.utils.processes import share


class Batch(NamedTuple):
    """A batch of inputs with labels.

    Attributes:
        x: inputs [B, ...]; if several processes train together, this process's share of them (:meth:`shared`).
        y: labels, int64 [B].
        index: positions of the examples in their data set, int64 [B], for methods with per-example state.
        second_view: the same inputs under a second draw of the augmentation, for methods that compare two views.
    """

    x: Tensor
    y: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # shadows tuple.index, which is not used
    second_view: Tensor | None = None

    def shared(self) -> Batch:
        """Return this process's share of a whole batch: its rows of the inputs, with the labels of all processes."""
        second_view = None if self.second_view is None else own_rows(self.second_view)
        return self._replace(x=own_rows(self.x), second_view=second_view)


def check_batch(name: str, batch: Batch, num_classes: int | None) -> None:
    """Raise if a batch for training is unusable; nothing is read back from an accelerator.

    Args:
        name: name of the batch for messages, such as "noisy".
        batch: the batch.
        num_classes: number of classes; the labels are compared with it on the CPU only; None if it is unknown.

    Raises:
        UserError: it has no examples, another number of labels than inputs, or a label out of range.
        UserTypeError: it is no :class:`Batch`, or its labels are not int64.
    """
    if not isinstance(batch, Batch):
        raise UserTypeError(f"the {name} batch is a {type(batch).__name__}; expected a vri_pyro.Batch of x and y")
    x, y = batch.x, batch.y
    if y.dtype != torch.int64:
        raise UserTypeError(f"y of the {name} batch has dtype {y.dtype}; expected class numbers, int64 [B]")
    if y.dim() != 1 or len(x) != share().size(len(y)):
        several = "" if share().world_size == 1 else f" in process {share().rank} of {share().world_size}"
        raise UserError(
            f"the {name} batch has {len(x)} inputs{several} and y of shape {list(y.shape)}; expected one label each"
            + (several and ", and in each process its share of the inputs, as batch.shared() returns")
        )
    if len(y) == 0:
        raise UserError(f"the {name} batch is empty; expected at least one example")
    if len(y) < share().world_size:
        raise UserError(
            f"the {name} batch has {len(y)} examples for {share().world_size} processes; start fewer processes, or use "
            "larger batches"
        )
    if num_classes is not None and y.device.type == "cpu" and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        wrong = int(y[(y < 0) | (y >= num_classes)][0])
        raise UserError(f"y of the {name} batch has the label {wrong}; labels are 0 to {num_classes - 1}")

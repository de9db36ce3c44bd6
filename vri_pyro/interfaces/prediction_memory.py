"""What the classifier said of each example before: a running mean of its predictions, and the pull towards it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.utils.errors import UserError

_LEAST_DISTANCE = 1e-4  # of ⟨p, t⟩ from 1; ELR's authors clip p to the same effect


class PredictionMemory(nn.Module):
    """A target t for every example: t ← βt + (1 − β)p of each prediction p of it, from 0.

    A wrong label is learned late; the mean of what was predicted before outlives that for a while. It takes 4 bytes an
    example and class on the device.

    Args:
        num_classes: K.
        momentum: β, in [0, 1).

    Attributes:
        table: t by the example's position in its data set, [examples, K]; part of the state.

    Raises:
        UserError: β is not in [0, 1).

    Reference: Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017.
    """

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise UserError(f"momentum is {momentum}; give a number from 0 to below 1")
        self.momentum = momentum
        self.table = torch.zeros(0, num_classes)
        self.size: int | None = None

    def reserve(self, examples: int) -> None:
        """Expect positions below ``examples``, so that no batch's must be looked at, for which a GPU would wait."""
        self.size = examples

    def moved(self, logits: Tensor, index: Tensor) -> Tensor:
        """The targets of a batch moved by its predictions, a constant [batch, K]; :meth:`keep` makes them last.

        Args:
            logits: of the batch, [batch, K].
            index: its examples' positions, int64 [batch].
        """
        rows = int(index.max()) + 1 if self.size is None else self.size
        self.table = self.table.to(logits)
        if rows > len(self.table):
            self.table = F.pad(self.table, (0, 0, 0, rows - len(self.table)))
        return self.momentum * self.table[index] + (1 - self.momentum) * logits.detach().softmax(-1)

    def keep(self, index: Tensor, targets: Tensor) -> None:
        """Let the examples' targets be these."""
        self.table[index] = targets

    def get_extra_state(self) -> Any:
        """The table and its size, which PyTorch keeps in the state dict."""
        return {"table": self.table, "size": self.size}

    def set_extra_state(self, state: Any) -> None:
        """Take them over."""
        self.table, self.size = state["table"].to(self.table.device, copy=True), state["size"]


def early_learning_regulariser(logits: Tensor, targets: Tensor) -> Tensor:
    """log(1 − ⟨p, t⟩) of each example, [batch]; its gradient raises the classes that the target favours.

    That takes back the push of a label that the target disagrees with, and keeps up that of one that it agrees with.

    Args:
        logits: whose softmax is p, [batch, K].
        targets: t, constants, [batch, K].

    Reference: Liu et al., Early-learning regularization prevents memorization of noisy labels, NeurIPS 2020.
    """
    return (1 - (logits.softmax(-1) * targets).sum(-1)).clamp_min(_LEAST_DISTANCE).log()

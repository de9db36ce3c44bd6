"""Running mean of the classifier's predictions per example, and the early-learning regulariser based on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.utils.numbers import check_number

_LEAST_DISTANCE = 1e-4  # lower bound of 1 - ⟨p, t⟩, whose logarithm has to be finite


class PredictionMemory(nn.Module):
    """Running mean of the predictions p for every example, used as a target: t ← βt + (1 − β)p, starting at 0.

    A classifier memorises wrong labels late in training. The running mean preserves its earlier predictions for some
    time after that. In float32, it needs 4 bytes per example and class on the device.

    Args:
        num_classes: K.
        momentum: β, in [0, 1).

    Attributes:
        table: t by position of the example in its data set, [examples, K]. Saved in the state dict.
        size: number of examples, if :meth:`reserve` has set it. Saved in the state dict.

    Raises:
        UserError: β is not in [0, 1).

    Reference: Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017.
    """

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        check_number("momentum", momentum, at_least=0, below=1)
        self.momentum = momentum
        self.table = torch.zeros(0, num_classes)
        self.size: int | None = None

    def reserve(self, examples: int) -> None:
        """Set the number of examples in advance, which saves a host-device synchronisation per batch."""
        self.size = examples

    def moved(self, logits: Tensor, index: Tensor) -> Tensor:
        """Return the targets of a batch updated with its predictions, without storing them; see :meth:`keep`.

        Args:
            logits: logits of the batch, [batch, K].
            index: positions of the examples, int64 [batch].

        Returns:
            the updated targets, detached, [batch, K].
        """
        return self.moved_towards(logits.softmax(-1), index)

    def moved_towards(self, probabilities: Tensor, index: Tensor) -> Tensor:
        """Return the updated targets of a batch, as :meth:`moved` does, from ``probabilities`` [batch, K]."""
        rows = int(index.max()) + 1 if self.size is None else self.size
        self.table = self.table.to(probabilities)
        if rows > len(self.table):
            self.table = F.pad(self.table, (0, 0, 0, rows - len(self.table)))
        return self.momentum * self.table[index] + (1 - self.momentum) * probabilities.detach()

    def keep(self, index: Tensor, targets: Tensor) -> None:
        """Store ``targets`` [batch, K] for the examples at positions ``index``, int64 [batch]."""
        self.table[index] = targets

    def get_extra_state(self) -> Any:
        """Return the table and its size, which PyTorch saves in the state dict."""
        return {"table": self.table, "size": self.size}

    def set_extra_state(self, state: Any) -> None:
        """Restore the table and its size."""
        self.table, self.size = state["table"].to(self.table.device, copy=True), state["size"]


def early_learning_regulariser(logits: Tensor, targets: Tensor) -> Tensor:
    """Early-learning regulariser log(1 − ⟨p, t⟩) per example, [batch].

    Minimising it raises the probabilities of the classes that the target favours. It counteracts the gradient of a
    label that the target disagrees with, and sustains the gradient of a label that it agrees with.

    Args:
        logits: logits, whose softmax is p, [batch, K].
        targets: t, detached, [batch, K].

    Reference: Liu et al., Early-learning regularization prevents memorization of noisy labels, NeurIPS 2020.
    """
    return (1 - (logits.softmax(-1) * targets).sum(-1)).clamp_min(_LEAST_DISTANCE).log()

"""What every step of training gets: a batch of inputs with labels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch.

    Attributes:
        x: inputs [B, ...].
        y: labels, int64 [B].
        index: positions of the examples in their data set, int64 [B], for methods that remember something of each.
        second_view: the same inputs under another draw of the augmentation, for methods that compare two views.
    """

    x: Tensor
    y: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    second_view: Tensor | None = None

"""A batch of inputs with labels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of inputs with labels.

    Attributes:
        x: inputs [B, ...].
        y: labels, int64 [B].
        index: positions of the examples in their data set, int64 [B], for methods with per-example state.
        second_view: the same inputs under a second draw of the augmentation, for methods that compare two views.
    """

    x: Tensor
    y: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # shadows tuple.index, which is not used
    second_view: Tensor | None = None

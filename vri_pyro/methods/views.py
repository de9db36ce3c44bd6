"""Both augmented views of a batch, for methods that compare them."""

from __future__ import annotations

import torch
from torch import Tensor

from vri_pyro.data.batch import Batch
from vri_pyro.utils.joined import joined


def both_views(batch: Batch) -> Tensor:
    """Inputs of both views of the whole batch of all processes, the first view first, [2B, ...].

    Args:
        batch: a batch of B examples. Without a second view, as in a loop of your own, the first one is used twice.
            Without an augmentation, as for vectors, the two views are equal.
    """
    count = len(batch.y)
    first = joined(batch.x, count)
    return torch.cat([first, first if batch.second_view is None else joined(batch.second_view, count)])

"""Cutting a window out of each image of a batch, at a place of its own."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """The window of each image, in one gather.

    Args:
        images: [B, C, H, W].
        top, left: each window's first row and column, int64 [B].
        height, width: of the windows.

    Returns:
        [B, C, height, width].
    """
    count = torch.arange(len(images), device=images.device)[:, None, None]
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    # Advanced indices around a slice: the channels come last and are put back.
    return images[count, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

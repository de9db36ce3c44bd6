"""Cropping a window from each image of a batch, at separate positions."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Crop a window from each image, in one gather.

    Args:
        images: [B, C, H, W].
        top, left: first row and first column of each window, int64 [B].
        height, width: size of the windows in pixels.

    Returns:
        the windows, [B, C, height, width].
    """
    count = torch.arange(len(images), device=images.device)[:, None, None]
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    # Advanced indices around a slice move the channels to the end; permute moves them back.
    return images[count, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

"""Resize and normalise images inside a network, as its pretrained weights expect."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ImageInput(nn.Module):
    """Repeats grey images for each channel of the network, resizes images to a square, and normalises them.

    Args:
        channels: number of channels of the network's input.
        side: side of the square in pixels; None keeps the size.
        mode: interpolation, with antialiasing.
        mean, std: normalisation per channel, of pixels from 0 to 1; None for no normalisation.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        channels: int,
        side: int | None = None,
        mode: Literal["bilinear", "bicubic"] = "bilinear",
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.side, self.mode = channels, side, mode
        # Not in the state dict, since they belong to the architecture.
        for name, values in (("mean", mean), ("std", std)):
            constant = None if values is None else torch.tensor(values).reshape(-1, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Prepare ``x`` [batch, C, H, W]."""
        if x.shape[1] == 1 < self.channels:
            x = x.expand(-1, self.channels, -1, -1)
        if self.side is not None and x.shape[2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode=self.mode, antialias=True)
        return x if self.mean is None or self.std is None else (x - self.mean) / self.std

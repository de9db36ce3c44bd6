"""The block of pre-activation residual networks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU, and a shortcut.

    The shortcut of a block that changes the shape is a 1x1 projection of its activated input; other shortcuts are the
    identity.

    Args:
        channels_in, channels_out: numbers of channels.
        stride: stride of the first convolution.
        dropout: dropout probability between the convolutions.

    Reference: He et al., Identity mappings in deep residual networks, ECCV 2016.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.dropout = dropout
        self.projection: nn.Conv2d | None = None
        if stride != 1 or channels_in != channels_out:
            self.projection = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [batch, channels_in, H, W]."""
        activated = F.relu(self.norm1(x))
        shortcut = x if self.projection is None else self.projection(activated)
        hidden = F.relu(self.norm2(self.conv1(activated)))
        if self.dropout > 0.0:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return self.conv2(hidden) + shortcut

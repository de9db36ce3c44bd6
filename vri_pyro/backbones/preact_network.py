"""What pre-activation residual networks have in common: stem, stages of blocks, pooling and head."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vri_pyro.backbones._initialisation import kaiming_convolutions_
from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes
from vri_pyro.backbones._preact_block import PreActBlock
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput


class PreActNetwork(Classifier):
    """A 3x3 stem, stages of pre-activation blocks, batch normalisation, ReLU, global average pooling and a linear head.

    Args:
        input_shape: shape of one image, (C, H, W).
        num_classes: number of classes K.
        smallest_side: least number of pixels of a side.
        stem_channels: channels of the stem.
        stages: channels and number of blocks of each stage; all but the first halve the image.
        dropout: dropout probability inside the blocks.

    Raises:
        UserError: the input is not an image or is too small.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        smallest_side: int,
        stem_channels: int,
        stages: Sequence[tuple[int, int]],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_shape = check_image_shape(type(self).__name__, input_shape, smallest_side)
        self.num_classes = check_num_classes(num_classes)
        self.stem = nn.Conv2d(self.input_shape[0], stem_channels, kernel_size=3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        channels = stem_channels
        for stage, (stage_channels, depth) in enumerate(stages):
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(PreActBlock(channels, stage_channels, stride, dropout))
                channels = stage_channels
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.feature_dim = channels
        self.head = nn.Linear(self.feature_dim, self.num_classes)
        kaiming_convolutions_(self)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W]."""
        check_batch(type(self).__name__, x, self.input_shape)
        maps = F.relu(self.norm(self.blocks(self.stem(x))))
        features = maps.mean(dim=(2, 3))
        return ClassifierOutput(self.head(features), features)

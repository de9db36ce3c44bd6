"""Pre-activation residual networks for small images (He et al., ECCV 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vri_pyro.backbones._initialisation import kaiming_convolutions_
from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes
from vri_pyro.backbones._preact_block import PreActBlock
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError

STAGE_CHANNELS = (64, 128, 256, 512)
SMALLEST_SIDE = 8


class PreActResNet(Classifier):
    """Pre-activation residual network: four stages with 64, 128, 256 and 512 channels.

    A 3x3 stem precedes the stages, which consist of basic blocks. The shortcut of a block that changes the shape is a
    1x1 projection of its activated input; all other shortcuts are the identity. Batch normalisation and ReLU follow
    the last block, as in the paper. Features are the 512 channels after global average pooling.

    Args:
        input_shape: shape of one image, (C, H, W), sides of at least 8 pixels.
        num_classes: number of classes K.
        blocks: number of blocks in each of the four stages.

    Raises:
        UserError: ``blocks`` is not four positive numbers, or the input is not an image or is too small.

    Reference: He et al., Identity mappings in deep residual networks, ECCV 2016.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        if len(blocks) != len(STAGE_CHANNELS) or min(blocks) < 1:
            raise UserError(f"PreActResNet got blocks {tuple(blocks)}; expected four positive numbers.")
        self.input_shape = check_image_shape(type(self).__name__, input_shape, SMALLEST_SIDE)
        self.num_classes = check_num_classes(num_classes)
        self.feature_dim = STAGE_CHANNELS[-1]

        channels = STAGE_CHANNELS[0]
        self.stem = nn.Conv2d(self.input_shape[0], channels, kernel_size=3, padding=1, bias=False)
        body: list[nn.Module] = []
        for stage, (stage_channels, depth) in enumerate(zip(STAGE_CHANNELS, blocks, strict=True)):
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                body.append(PreActBlock(channels, stage_channels, stride))
                channels = stage_channels
        self.blocks = nn.Sequential(*body)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(self.feature_dim, self.num_classes)
        kaiming_convolutions_(self)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W]."""
        check_batch(type(self).__name__, x, self.input_shape)
        maps = F.relu(self.norm(self.blocks(self.stem(x))))
        features = maps.mean(dim=(2, 3))
        return ClassifierOutput(self.head(features), features)


class PreActResNet18(PreActResNet):
    """:class:`PreActResNet` of 18 layers; 11.17 million parameters for 3x32x32 images and ten classes."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, blocks=(2, 2, 2, 2))


class PreActResNet34(PreActResNet):
    """:class:`PreActResNet` of 34 layers; 21.28 million parameters for 3x32x32 images and ten classes."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, blocks=(3, 4, 6, 3))

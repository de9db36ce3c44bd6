"""Residual networks for small images (He et al., CVPR 2016), including ResNet-32."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vri_pyro.backbones._initialisation import kaiming_convolutions_
from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer

STAGE_CHANNELS = (16, 32, 64)
SMALLEST_SIDE = 8
DEEPEST = 10_000  # more layers would fill the memory


class CIFARResNet(Classifier):
    """Residual network of 6n + 2 layers: three stages of n blocks with 16, 32 and 64 channels.

    A 3x3 stem precedes the stages. Shortcuts have no parameters (option A of the paper): where a stage halves the
    image, the shortcut keeps every second pixel and fills the new channels with zeros. Features are the 64 channels
    after global average pooling.

    Args:
        input_shape: shape of one image, (C, H, W), sides of at least 8 pixels.
        num_classes: number of classes K.
        depth: number of weighted layers, 6n + 2: 20, 32, 44, 56, 110.

    Raises:
        UserError: the depth is not 6n + 2, or the input is not an image or is too small.

    Reference: He et al., Deep residual learning for image recognition, CVPR 2016, section 4.2.
    """

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, depth: int = 32) -> None:
        super().__init__()
        if not is_integer(depth) or not 8 <= depth <= DEEPEST or (depth - 2) % 6 != 0:
            raise UserError(
                f"CIFARResNet got depth {depth!r}; expected 6n + 2 up to {DEEPEST}, such as 20, 32, 44 or 56."
            )
        self.input_shape = check_image_shape(type(self).__name__, input_shape, SMALLEST_SIDE)
        self.num_classes = check_num_classes(num_classes)
        self.feature_dim = STAGE_CHANNELS[-1]

        channels = STAGE_CHANNELS[0]
        self.stem = nn.Conv2d(self.input_shape[0], channels, kernel_size=3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)
        blocks: list[nn.Module] = []
        for stage, stage_channels in enumerate(STAGE_CHANNELS):
            for position in range((depth - 2) // 6):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(_BasicBlock(channels, stage_channels, stride))
                channels = stage_channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(self.feature_dim, self.num_classes)
        kaiming_convolutions_(self)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W]."""
        check_batch(type(self).__name__, x, self.input_shape)
        maps = self.blocks(F.relu(self.stem_norm(self.stem(x))))
        features = maps.mean(dim=(2, 3))
        return ClassifierOutput(self.head(features), features)


class ResNet32(CIFARResNet):
    """:class:`CIFARResNet` of depth 32, with 0.46 million parameters for ten classes."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, depth=32)


class _BasicBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = channels_out - channels_in
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(residual + self._shortcut(x))

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.new_channels == 0:
            return x
        before = self.new_channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))

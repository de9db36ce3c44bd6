"""Wide residual networks for small images (Zagoruyko & Komodakis, BMVC 2016), such as WRN-28-10."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vri_pyro.backbones._initialisation import kaiming_convolutions_
from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes
from vri_pyro.backbones._preact_block import PreActBlock
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, is_integer, is_number

STEM_CHANNELS = 16
SMALLEST_SIDE = 4
DEEPEST, WIDEST = 1_000, 100  # more layers or channels would fill the memory


class WideResNet(Classifier):
    """Wide residual network of 6n + 4 convolutions: three stages of n blocks with 16k, 32k and 64k channels.

    A 3x3 stem with 16 channels precedes the stages of pre-activation blocks. Batch normalisation and ReLU follow the
    last block. Features are the 64k channels after global average pooling. The defaults are WRN-28-10.

    Args:
        input_shape: shape of one image, (C, H, W), sides of at least 4 pixels.
        num_classes: number of classes K.
        depth: number of convolutions, 6n + 4: 16, 22, 28, 40.
        width: factor k on the number of channels.
        dropout: dropout probability between the convolutions of a block, in [0, 1); 0.3 in the paper, if any.

    Raises:
        UserError: a number is out of range, or the input is not an image or is too small.

    Reference: Zagoruyko & Komodakis, Wide residual networks, BMVC 2016.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        depth: int = 28,
        width: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not is_integer(depth) or not 10 <= depth <= DEEPEST or (depth - 4) % 6 != 0:
            raise UserError(f"WideResNet got depth {depth!r}; expected 6n + 4 up to {DEEPEST}, such as 16, 28 or 40.")
        check_integer("width", width, 1, WIDEST)
        if not is_number(dropout) or not 0.0 <= dropout < 1.0:
            raise UserError(f"WideResNet got dropout {dropout!r}; expected a probability in [0, 1).")
        self.input_shape = check_image_shape(type(self).__name__, input_shape, SMALLEST_SIDE)
        self.num_classes = check_num_classes(num_classes)
        self.feature_dim = 4 * STEM_CHANNELS * width

        self.stem = nn.Conv2d(self.input_shape[0], STEM_CHANNELS, kernel_size=3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for stage in range(3):
            stage_channels = 2**stage * STEM_CHANNELS * width
            for position in range((depth - 4) // 6):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(PreActBlock(channels, stage_channels, stride, dropout))
                channels = stage_channels
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(self.feature_dim, self.num_classes)
        kaiming_convolutions_(self)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W]."""
        check_batch(type(self).__name__, x, self.input_shape)
        maps = F.relu(self.norm(self.blocks(self.stem(x))))
        features = maps.mean(dim=(2, 3))
        return ClassifierOutput(self.head(features), features)

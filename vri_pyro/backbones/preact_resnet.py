"""Pre-activation residual networks for small images (He et al., ECCV 2016)."""

from __future__ import annotations

from vri_pyro.backbones.preact_network import PreActNetwork
from vri_pyro.utils.errors import UserError

STAGE_CHANNELS = (64, 128, 256, 512)
SMALLEST_SIDE = 8


class PreActResNet(PreActNetwork):
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
        if len(blocks) != len(STAGE_CHANNELS) or min(blocks) < 1:
            raise UserError(f"PreActResNet got blocks {tuple(blocks)}; expected four positive numbers.")
        stages = tuple(zip(STAGE_CHANNELS, blocks, strict=True))
        super().__init__(input_shape, num_classes, SMALLEST_SIDE, STAGE_CHANNELS[0], stages)


class PreActResNet18(PreActResNet):
    """:class:`PreActResNet` of 18 layers; 11.17 million parameters for 3x32x32 images and ten classes."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, blocks=(2, 2, 2, 2))


class PreActResNet34(PreActResNet):
    """:class:`PreActResNet` of 34 layers; 21.28 million parameters for 3x32x32 images and ten classes."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, blocks=(3, 4, 6, 3))

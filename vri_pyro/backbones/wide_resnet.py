"""Wide residual networks for small images (Zagoruyko & Komodakis, BMVC 2016), such as WRN-28-10."""

from __future__ import annotations

from vri_pyro.backbones.preact_network import PreActNetwork
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, is_integer, is_number

STEM_CHANNELS = 16
SMALLEST_SIDE = 4
DEEPEST, WIDEST = 1_000, 100  # more layers or channels would fill the memory


class WideResNet(PreActNetwork):
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
        if not is_integer(depth) or not 10 <= depth <= DEEPEST or (depth - 4) % 6 != 0:
            raise UserError(f"WideResNet got depth {depth!r}; expected 6n + 4 up to {DEEPEST}, such as 16, 28 or 40.")
        check_integer("width", width, 1, WIDEST)
        if not is_number(dropout) or not 0.0 <= dropout < 1.0:
            raise UserError(f"WideResNet got dropout {dropout!r}; expected a probability in [0, 1).")
        stages = [(2**stage * STEM_CHANNELS * width, (depth - 4) // 6) for stage in range(3)]
        super().__init__(input_shape, num_classes, SMALLEST_SIDE, STEM_CHANNELS, stages, dropout)

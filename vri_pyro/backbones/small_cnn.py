"""Small convolutional network that trains in seconds on a CPU."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes, check_widths
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput


class SmallCNN(Classifier):
    """Small convolutional network: convolutional blocks followed by one hidden layer.

    A block is a 3x3 convolution, 2x2 max-pooling, batch normalisation and ReLU. Pooling precedes normalisation and
    ReLU, so that these process only a quarter of the pixels.

    The network is meant for images from 8x8 (digits) to 32x32 pixels. Every block halves the image, so each side must
    have at least ``2 ** len(channels)`` pixels.

    Args:
        input_shape: shape of one image, (C, H, W).
        num_classes: number of classes K.
        channels: output channels of each block.
        feature_dim: width of the hidden layer, whose output is the features.
        batch_norm: whether to use batch normalisation. Without it, the convolutions have biases and the classifier has
            no buffers.

    Raises:
        UserError: the input is not an image or is too small for the blocks, or a width is below one.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        channels: tuple[int, ...] = (16, 32),
        feature_dim: int = 128,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_widths("SmallCNN", "channels", channels or (0,), "at least one block, all widths positive")
        check_widths("SmallCNN", "feature_dim", (feature_dim,), "a positive width")
        self.input_shape = check_image_shape("SmallCNN", input_shape, 2 ** len(channels))
        self.num_classes = check_num_classes(num_classes)
        self.feature_dim = feature_dim

        image_channels, height, width = self.input_shape
        widths = (image_channels, *channels)
        self.blocks = nn.Sequential(
            *(_block(width_in, width_out, batch_norm) for width_in, width_out in pairwise(widths))
        )
        shrinkage = 2 ** len(channels)
        pixels = (height // shrinkage) * (width // shrinkage)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * pixels, feature_dim), nn.ReLU())
        self.head = nn.Linear(feature_dim, self.num_classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W]."""
        check_batch("SmallCNN", x, self.input_shape)
        features = self.hidden(self.blocks(x))
        return ClassifierOutput(self.head(features), features)


def _block(channels_in: int, channels_out: int, batch_norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=not batch_norm)
    normalisation = [nn.BatchNorm2d(channels_out)] if batch_norm else []
    return nn.Sequential(convolution, nn.MaxPool2d(2), *normalisation, nn.ReLU())

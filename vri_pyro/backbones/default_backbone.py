"""The network that is used if none is chosen."""

from __future__ import annotations

from vri_pyro.backbones.mlp import MLP
from vri_pyro.backbones.small_cnn import SmallCNN
from vri_pyro.interfaces.classifier import Classifier

_SMALLEST_IMAGE = 4  # side in pixels; a smaller image is treated as a vector


def default_backbone(input_shape: tuple[int, ...], num_classes: int) -> Classifier:
    """Build a small convolutional network for images, and a linear classifier for vectors.

    Args:
        input_shape: shape of one input, (D,) or (C, H, W).
        num_classes: number of classes K.
    """
    if len(input_shape) == 3 and min(input_shape[1:]) >= _SMALLEST_IMAGE:
        return SmallCNN(input_shape, num_classes)
    return MLP(input_shape, num_classes, hidden=())

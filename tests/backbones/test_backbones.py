"""Properties of every backbone: shapes, gradients, functional calls, forward mode, error messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from vri_pyro.backbones import (
    MLP,
    CIFARResNet,
    PreActResNet,
    PreActResNet18,
    PreActResNet34,
    ResNet32,
    SmallCNN,
    WideResNet,
)
from vri_pyro.backbones.default_backbone import default_backbone
from vri_pyro.infer.functional import call, cloned_buffers, parameters_of
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError

NUM_CLASSES = 5


class NarrowWideResNet(WideResNet):
    """A small one."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(input_shape, num_classes, depth=10, width=2)


IMAGE_BACKBONES = [SmallCNN, ResNet32, PreActResNet18, PreActResNet34, NarrowWideResNet]


@pytest.fixture(autouse=True)
def _reproducible_on_one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def _cases(*shapes: tuple[int, ...]) -> list[object]:
    return [
        pytest.param(backbone, shape, id=f"{backbone.__name__}-{'x'.join(map(str, shape))}")
        for backbone in [*IMAGE_BACKBONES, MLP]
        for shape in shapes
    ]


def _count(classifier: Classifier) -> int:
    return sum(parameter.numel() for parameter in classifier.parameters())


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [*_cases((1, 8, 8), (3, 9, 13)), (MLP, (7,)), (SmallCNN, (1, 28, 28)), (MLP, (3, 4))],
)
def test_output_has_the_documented_shapes(backbone: type[Classifier], shape: tuple[int, ...]) -> None:
    classifier = backbone(shape, NUM_CLASSES)
    logits, features, *_ = classifier(torch.randn(3, *shape))
    assert logits.shape == (3, NUM_CLASSES)
    assert features.shape == (3, classifier.feature_dim)
    assert classifier.num_classes == NUM_CLASSES


@pytest.mark.parametrize(("backbone", "shape"), _cases((2, 8, 8)))
def test_gradient_reaches_every_parameter(backbone: type[Classifier], shape: tuple[int, ...]) -> None:
    classifier = backbone(shape, NUM_CLASSES)
    logits, features, *_ = classifier(torch.randn(6, *shape))
    (logits.square().sum() + features.sum()).backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("backbone", "shape"), _cases((2, 8, 8)))
def test_functional_call_moves_the_clones_and_not_the_buffers(
    backbone: type[Classifier], shape: tuple[int, ...]
) -> None:
    classifier = backbone(shape, NUM_CLASSES)
    x = torch.randn(4, *shape)
    before, clones = cloned_buffers(classifier), cloned_buffers(classifier)
    functional = call(classifier, parameters_of(classifier), clones, x)
    for name, buffer in classifier.named_buffers():
        assert torch.equal(buffer, before[name]), name
        assert not torch.equal(buffer, clones[name]), name
    torch.testing.assert_close(functional, classifier(x))
    for name, buffer in classifier.named_buffers():
        torch.testing.assert_close(buffer, clones[name])


# PyTorch calls torch.jit.script on the first use of forward mode, and warns about its own call.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize(("backbone", "shape"), _cases((2, 8, 8)))
def test_forward_mode_derivative_agrees_with_central_differences(
    backbone: type[Classifier], shape: tuple[int, ...]
) -> None:
    classifier = backbone(shape, NUM_CLASSES).double()
    x = torch.randn(4, *shape, dtype=torch.float64)
    parameters = {name: p.detach() for name, p in parameters_of(classifier).items()}
    tangents = {name: torch.randn_like(p) * p.std().clamp_min(0.1) for name, p in parameters.items()}

    def shifted(step: float) -> tuple[Tensor, Tensor]:
        moved = {name: p + step * tangents[name] for name, p in parameters.items()}
        return call(classifier, moved, cloned_buffers(classifier), x)[:2]

    with torch.no_grad():
        with forward_ad.dual_level():
            dual = {name: forward_ad.make_dual(p, tangents[name]) for name, p in parameters.items()}
            output = call(classifier, dual, cloned_buffers(classifier), x)[:2]
            derivatives = [forward_ad.unpack_dual(part).tangent for part in output]
        step = 1e-7
        differences = [(up - down) / (2 * step) for up, down in zip(shifted(step), shifted(-step), strict=True)]
    for derivative, difference in zip(derivatives, differences, strict=True):
        assert derivative is not None
        assert (derivative - difference).norm() < 1e-5 * difference.norm()


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    # 0.46, 11.17, 21.28 and 36.5 million in the literature; the exact numbers detect any change of the architecture.
    [(ResNet32, 464_154), (PreActResNet18, 11_172_170), (PreActResNet34, 21_280_330), (WideResNet, 36_479_194)],
)
def test_standard_network_has_its_standard_number_of_parameters(backbone: type[Classifier], parameters: int) -> None:
    assert _count(backbone((3, 32, 32), 10)) == parameters


def test_depth_of_cifar_resnet_counts_its_weighted_layers() -> None:
    classifier = CIFARResNet((3, 32, 32), 10, depth=20)
    weighted = [m for m in classifier.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weighted) == 20


def test_depth_of_wide_resnet_counts_its_convolutions() -> None:
    convolutions = [m for m in WideResNet((3, 8, 8), 10, depth=16, width=2).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 16


def test_dropout_of_wide_resnet_acts_in_training_mode_only() -> None:
    classifier, x = WideResNet((3, 8, 8), 10, depth=10, width=1, dropout=0.5), torch.randn(2, 3, 8, 8)
    assert not torch.equal(classifier(x).logits, classifier(x).logits)
    classifier.eval()
    assert torch.equal(classifier(x).logits, classifier(x).logits)


def test_small_cnn_without_batch_norm_has_no_buffers() -> None:
    assert not list(SmallCNN((1, 8, 8), 10, batch_norm=False).buffers())


def test_dropout_of_mlp_acts_in_training_mode_only() -> None:
    classifier = MLP((16,), 3, hidden=(64,), dropout=0.5)
    x = torch.randn(2, 16)
    assert not torch.equal(classifier(x).logits, classifier(x).logits)
    classifier.eval()
    assert torch.equal(classifier(x).logits, classifier(x).logits)


@pytest.mark.parametrize("backbone", IMAGE_BACKBONES)
def test_image_backbone_refuses_vectors(backbone: type[Classifier]) -> None:
    with pytest.raises(UserError, match=r"needs images .* use the MLP backbone"):
        backbone((64,), 10)


@pytest.mark.parametrize("backbone", IMAGE_BACKBONES)
def test_image_backbone_refuses_images_too_small_for_its_downsampling(backbone: type[Classifier]) -> None:
    with pytest.raises(UserError, match=r"3x3 .* at least \dx\d pixels"):
        backbone((1, 3, 3), 10)


@pytest.mark.parametrize("backbone", [*IMAGE_BACKBONES, MLP])
def test_batch_of_another_shape_is_refused(backbone: type[Classifier]) -> None:
    classifier = backbone((1, 8, 8), 10)
    with pytest.raises(UserError, match=r"built for inputs \[batch, 1, 8, 8\] but got \[2, 3, 8, 8\]"):
        classifier(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("backbone", [*IMAGE_BACKBONES, MLP])
def test_single_class_is_refused(backbone: type[Classifier]) -> None:
    with pytest.raises(UserError, match="at least two classes"):
        backbone((1, 8, 8), 1)


def test_a_perceptron_without_hidden_layers_is_linear() -> None:
    classifier, x = MLP((3, 2), 5, hidden=()), torch.randn(4, 3, 2)
    output = classifier(x)
    assert classifier.feature_dim == 6
    torch.testing.assert_close(output.features, x.flatten(1))
    torch.testing.assert_close(output.logits, classifier.head(x.flatten(1)))


def test_the_default_network_is_convolutional_for_images_and_linear_for_vectors() -> None:
    assert isinstance(default_backbone((1, 8, 8), 3), SmallCNN)
    linear = default_backbone((7,), 3)
    assert isinstance(linear, MLP)
    assert linear.feature_dim == 7


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"hidden widths \(8, 0\)"):
        MLP((4,), 2, hidden=(8, 0))
    with pytest.raises(UserError, match=r"dropout 1\.0"):
        MLP((4,), 2, dropout=1.0)
    with pytest.raises(UserError, match="all positive"):
        MLP((0,), 2)
    with pytest.raises(UserError, match="at least one block"):
        SmallCNN((1, 8, 8), 2, channels=())
    with pytest.raises(UserError, match="depth 33"):
        CIFARResNet((3, 32, 32), 10, depth=33)
    with pytest.raises(UserError, match=r"WideResNet got depth 27; expected 6n \+ 4"):
        WideResNet((3, 32, 32), 10, depth=27)
    with pytest.raises(UserError, match="width"):
        WideResNet((3, 32, 32), 10, width=0)
    with pytest.raises(UserError, match=r"WideResNet got dropout 1\.0"):
        WideResNet((3, 32, 32), 10, dropout=1.0)
    with pytest.raises(UserError, match="four positive numbers"):
        PreActResNet((3, 32, 32), 10, blocks=(2, 2, 2, 0))

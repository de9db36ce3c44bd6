"""Networks of users, torchvision and timm as classifiers: the features, their exactness, and what is refused."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from infer.contracts import assert_same_hypergradients, record_step
from infer.problems import Case
from infer.toys import CLASSES
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import SGD
from torchvision.models.resnet import BasicBlock, ResNet

from vri_pyro.backbones import FromModule, TimmNetwork, TorchvisionNetwork
from vri_pyro.infer.functional import call, cloned_buffers, parameters_of
from vri_pyro.infer.hypergradient import SplitJVP, Unrolled
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError, UserTypeError

IMAGE = (3, 32, 32)


def _convolutional() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _whole() -> nn.Sequential:
    return nn.Sequential(*_convolutional(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))


# The last layers of networks
TORCHVISION = {
    "resnet18": "fc",
    "vgg11": "classifier.6",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "convnext_tiny": "classifier.2",
    "swin_t": "head",
    "densenet121": "classifier",
    "googlenet": "fc",
    "inception_v3": "fc",
}
TIMM = {
    "test_vit": "head",
    "test_resnet": "fc",
    "test_convnext": "head.fc",
    "test_efficientnet": "classifier",
    "test_mambaout": "head.fc",
}


def _check(classifier: Classifier, shape: tuple[int, ...]) -> None:
    output = classifier.eval()(torch.randn(2, *shape))
    assert output.logits.shape == (2, CLASSES)
    assert output.features.shape == (2, classifier.feature_dim)
    torch.testing.assert_close(classifier.head(output.features), output.logits)


@pytest.mark.parametrize("name", TORCHVISION)
def test_last_layer_of_torchvision_is_found(name: str) -> None:
    shape = (3, 80, 80) if name == "inception_v3" else IMAGE
    classifier = TorchvisionNetwork(shape, CLASSES, name)
    assert classifier.replaced == TORCHVISION[name]
    _check(classifier, shape)


def test_last_layer_of_a_vision_transformer_of_torchvision_is_found() -> None:
    classifier = TorchvisionNetwork(IMAGE, CLASSES, "vit_b_32", input_size=32)
    assert classifier.replaced == "heads.head"
    _check(classifier, IMAGE)


@pytest.mark.parametrize("name", TIMM)
def test_last_layer_of_timm_is_found(name: str) -> None:
    classifier = TimmNetwork(IMAGE, CLASSES, name)
    assert classifier.replaced == TIMM[name]
    _check(classifier, IMAGE)


def test_features_are_the_inputs_of_the_last_linear_layer() -> None:
    network, x = _whole().eval(), torch.randn(3, *IMAGE)
    expected = network[:-1](x)
    classifier = FromModule(IMAGE, CLASSES, network).eval()
    assert (classifier.replaced, classifier.feature_dim) == ("7", 8)
    torch.testing.assert_close(classifier(x).features, expected)


def test_last_layer_can_be_named_and_need_not_be_linear() -> None:
    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.cosine = _convolutional(), CosineLayer()

        def forward(self, x: Tensor) -> Tensor:
            return self.cosine(self.body(x))

    class CosineLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 6))

        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(x) @ F.normalize(self.weight).T

    with pytest.raises(UserError, match=r"no linear layer that could be replaced; name its last layer in head"):
        FromModule(IMAGE, CLASSES, Cosine())
    classifier = FromModule(IMAGE, CLASSES, Cosine(), head="cosine")
    assert classifier.feature_dim == 6
    _check(classifier, IMAGE)


def test_output_of_a_network_can_be_the_features() -> None:
    network, x = _convolutional().eval(), torch.randn(3, *IMAGE)
    classifier = FromModule(IMAGE, CLASSES, network, head="").eval()
    assert torch.equal(classifier(x).features, network(x))


def test_vectors_and_a_single_linear_layer_are_accepted() -> None:
    classifier, x = FromModule((8,), CLASSES, nn.Linear(8, 2)), torch.randn(3, 8)
    assert torch.equal(classifier(x).features, x)


def test_logits_in_an_object_are_found() -> None:
    class Output:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = _whole()

        def forward(self, pixel_values: Tensor) -> Output:
            return Output(self.network(pixel_values))

    classifier = FromModule(IMAGE, CLASSES, Network)
    assert classifier.replaced == "network.7"
    _check(classifier, IMAGE)


def test_last_layer_applied_before_pooling_is_replaced_as_it_is_linear() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(3, 7), nn.Linear(7, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x.flatten(2).mT).relu()).mean(1)

    _check(FromModule(IMAGE, CLASSES, Tokens()), IMAGE)


@pytest.mark.parametrize(
    ("network", "head", "message"),
    [
        (nn.Sequential(*_whole(), nn.LogSoftmax(-1)), None, r"'7' is not the last layer of Sequential.*are 5, 7\)"),
        (nn.Sequential(*_whole(), nn.LogSoftmax(-1)), "7", r"'7' is not the last layer .* remove these"),
        (_whole(), "5", "'5' is not the last layer"),
        (_convolutional(), None, r"no linear layer .* head='' if the output of the network are the features"),
        (_whole(), "77", "has no layer '77'; did you mean '7'"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "", r"a tensor of shape \[2, 4, 30, 30\]; expected features"),
        (nn.Conv2d(1, 4, 3), None, r"Conv2d rejects inputs of shape \[2, 3, 32, 32\].*expected.*channels[^;]*$"),
        (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), None, "token ids needs a training loop of its own"),
    ],
)
def test_a_network_without_a_clear_last_layer_is_refused(network: nn.Module, head: str | None, message: str) -> None:
    before = copy.deepcopy(network)
    with pytest.raises(UserError, match=message):
        FromModule(IMAGE, CLASSES, network, head)
    assert repr(network) == repr(before), "a refused network is left as it was"


def test_a_network_that_averages_two_heads_is_refused() -> None:
    with pytest.raises(UserError, match="timm's deit_tiny_distilled_patch16_224 does not end in a linear layer"):
        TimmNetwork(IMAGE, CLASSES, "deit_tiny_distilled_patch16_224", input_size=32)
    with pytest.raises(UserError, match="torchvision's squeezenet1_1 does not end in a linear layer"):
        TorchvisionNetwork(IMAGE, CLASSES, "squeezenet1_1")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (partial(FromModule, network=3), UserTypeError, "network is 3; expected a PyTorch module"),
        (partial(TorchvisionNetwork, name="resnet19"), UserError, "did you mean 'resnet18'"),
        (partial(TorchvisionNetwork, name="maskrcnn_resnet50_fpn"), UserError, "no image classifier"),
        (partial(TorchvisionNetwork, name="resnet18", pretrained="V3"), UserError, "one of IMAGENET1K_V1, DEFAULT"),
        (partial(TorchvisionNetwork, name="resnet18", input_size=0), UserError, "input_size"),
        (partial(TimmNetwork, name="resnet19"), UserError, "timm has no network 'resnet19'; did you mean"),
        (
            partial(TimmNetwork, name="resnet18.v9"),
            UserError,
            r"expected one of resnet18\.a1_in1k, ",
        ),
        (partial(TimmNetwork, name="hf-hub:someone/evil"), UserError, "without a repository or a folder"),
        (partial(TimmNetwork, name="local-dir:/tmp/evil"), UserError, "without a repository or a folder"),
        (partial(TimmNetwork, name="/tmp/evil"), UserError, "without a repository or a folder"),
    ],
)
def test_unknown_networks_are_refused(build: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(IMAGE, CLASSES)


def test_vectors_are_refused_by_networks_for_images() -> None:
    with pytest.raises(UserError, match="TorchvisionNetwork needs images"):
        TorchvisionNetwork((7,), CLASSES, "resnet18")
    with pytest.raises(UserError, match="TimmNetwork needs images"):
        TimmNetwork((7,), CLASSES, "test_resnet")


def test_batch_of_another_shape_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"FromModule was built for inputs \[batch, 3, 32, 32\] but got \[2, 3, 16, 16\]"
    ):
        FromModule(IMAGE, CLASSES, _whole())(torch.zeros(2, 3, 16, 16))


def test_grey_images_are_repeated_and_resized() -> None:
    grey, colour = (1, 20, 20), (3, 20, 20)
    classifier = TimmNetwork(grey, CLASSES, "test_resnet", input_size=32).eval()
    x = torch.randn(2, *grey)
    other = TimmNetwork(colour, CLASSES, "test_resnet", input_size=32).eval()
    other.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(classifier(x), other(x.expand(-1, 3, -1, -1)))
    assert classifier.prepare(x).shape == (2, 3, 32, 32)


def test_building_a_network_draws_no_more_than_its_initial_weights() -> None:
    torch.manual_seed(0)
    network = _whole()
    nn.Linear(8, CLASSES)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    FromModule(IMAGE, CLASSES, _whole)
    assert torch.equal(torch.get_rng_state(), expected)
    assert network.training


SMALL: dict[str, Callable[[], Classifier]] = {
    "Sequential": lambda: FromModule((3, 8, 8), CLASSES, _whole()),
    "residual network of torchvision": lambda: FromModule((3, 8, 8), CLASSES, ResNet(BasicBlock, [1, 1, 1, 1], 5)),
    "mobile torchvision network": lambda: TorchvisionNetwork((3, 8, 8), CLASSES, "shufflenet_v2_x0_5", input_size=32),
    "residual network of timm": lambda: TimmNetwork((3, 8, 8), CLASSES, "test_resnet", input_size=16),
    "vision transformer of timm": lambda: TimmNetwork((3, 8, 8), CLASSES, "test_vit", input_size=16),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("attached", [False, True])
def test_hypergradient_through_the_network_is_exact(name: str, attached: bool) -> None:
    options = {"detach_features": not attached, "inner_kl_weight": 0.1 if attached else 0.0}
    case = Case(
        classifier=SMALL[name],
        inner_optimizer=partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.05),
        real_steps=1,
        shape=(3, 8, 8),
        options=options,
    )
    actual, names = record_step(SplitJVP(), case)
    with sdpa_kernel(SDPBackend.MATH):  # the only attention that can be differentiated twice
        expected, _ = record_step(Unrolled(), case)
    assert any(gradient is not None for gradient in expected.gradients)
    assert_same_hypergradients(actual, expected, names, 1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_network_is_copied_saved_and_called_with_other_weights(name: str) -> None:
    classifier, x = SMALL[name]().eval(), torch.randn(2, 3, 8, 8)
    expected = classifier(x).logits
    torch.testing.assert_close(copy.deepcopy(classifier)(x).logits, expected)
    buffer = io.BytesIO()
    torch.save(classifier.state_dict(), buffer)
    buffer.seek(0)
    other = SMALL[name]().eval()
    other.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(other(x).logits, expected)
    zeros = {name: torch.zeros_like(p) for name, p in parameters_of(classifier).items()}
    assert call(classifier, zeros, cloned_buffers(classifier), x).logits.eq(0).all()
    torch.testing.assert_close(classifier(x).logits, expected)


def test_nan_is_not_taken_for_a_wrong_last_layer() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x * torch.nan)

    with pytest.raises(UserError, match="Broken returns NaN for finite inputs; check its parameters"):
        FromModule((4,), 3, Broken())

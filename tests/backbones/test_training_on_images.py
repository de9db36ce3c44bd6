"""Networks of every kind learn from a few hundred real images in one epoch of bi-level steps.

The large ones are narrowed or shortened, so that this takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor
from torch.optim import Adam
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers

from vri_pyro.backbones import FromModule, TimmNetwork, TorchvisionNetwork, WideResNet
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.functional import call, cloned_buffers, parameters_of
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.models import PriorNetwork, Rectification
from vri_pyro.training import Trunk

CLASSES, COUNT, BATCH, CLEAN = 10, 288, 32, 32
# VGG-19 with an eighth of its channels
_VGG19 = [8, 8, "M", 16, 16, "M", *[32] * 4, "M", *[64] * 4, "M", *[64] * 4, "M"]


def _vgg19(shape: tuple[int, ...]) -> Classifier:
    network = VGG(make_layers(_VGG19, batch_norm=True))
    hidden = torch.nn.Linear(64 * 7 * 7, 64), torch.nn.ReLU(), torch.nn.Linear(64, 5)
    network.classifier = torch.nn.Sequential(*hidden)
    return FromModule(shape, CLASSES, network)


def _dino(shape: tuple[int, ...]) -> Classifier:
    from transformers import Dinov2Config, Dinov2ForImageClassification

    sizes = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return FromModule(shape, CLASSES, Dinov2ForImageClassification(Dinov2Config(**sizes)))


def _clip(shape: tuple[int, ...]) -> Classifier:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64}
            self.network = CLIPVisionModel(CLIPVisionConfig(**sizes, num_hidden_layers=2, num_attention_heads=2))

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x).pooler_output

    return FromModule(shape, CLASSES, Pooled(), head="")


# The networks of transformers need the extra of this name.
NETWORKS: dict[str, Callable[[tuple[int, ...]], Classifier]] = {
    "small DINOv2 of transformers": _dino,
    "small CLIP of transformers": _clip,
    "WRN-16-1": lambda shape: WideResNet(shape, CLASSES, depth=16, width=1),
    "ResNet-50 with one block per stage and an eighth of its channels": lambda shape: FromModule(
        shape, CLASSES, ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=8)
    ),
    "VGG-19 with an eighth of its channels": _vgg19,
    "ViT of timm": lambda shape: TimmNetwork(shape, CLASSES, "test_vit", input_size=32),
    "residual network of timm": lambda shape: TimmNetwork(shape, CLASSES, "test_resnet"),
    "ShuffleNet of torchvision": lambda shape: TorchvisionNetwork(shape, CLASSES, "shufflenet_v2_x0_5", input_size=64),
}


@pytest.fixture(scope="module")
def images(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """A few hundred standardised images, float32 [n, 3, 32, 32], and their labels: clothes or, without them, digits."""
    try:
        unpacked: Callable[[str], Path] = request.getfixturevalue("unpacked")
    except pytest.skip.Exception:  # there are no image packs
        digits = load_digits()
        pixels, labels = digits.images.astype(np.float32), digits.target
    else:
        with np.load(unpacked("fashion_mnist")) as arrays:
            pixels, labels = arrays["x_train"][:COUNT].astype(np.float32), arrays["y_train"]
    x = torch.from_numpy(pixels[:COUNT])[:, None].expand(-1, 3, -1, -1)
    x = F.interpolate(x, (32, 32), mode="bilinear")
    return (x - x.mean()) / x.std(), torch.from_numpy(labels[:COUNT].astype(np.int64))


def _loss(classifier: Classifier, x: Tensor, y: Tensor) -> float:
    """Cross entropy with the statistics of the batch, since the running ones lag behind after an epoch this short."""
    with torch.no_grad():
        output = call(classifier.train(), parameters_of(classifier), cloned_buffers(classifier), x)
    return F.cross_entropy(output.logits, y).item()


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_falls_within_one_epoch(name: str, images: tuple[Tensor, Tensor]) -> None:
    if "transformers" in name:
        pytest.importorskip("transformers")
    x, y = images
    classifier = NETWORKS[name]((3, 32, 32))
    flipped = torch.rand(COUNT) < 0.3
    given = torch.where(flipped, (y + 1) % CLASSES, y)
    model = Rectification(classifier.feature_dim, CLASSES, partial(PriorNetwork, hidden=(32,)))
    guide = DiagonalNormal(classifier.feature_dim, CLASSES, hidden=(32,))
    algorithm = BilevelSVI(
        classifier.train(),
        model,
        guide,
        Trunk(lr_factor=0.5).optimizer(partial(Adam, lr=2e-3), classifier)(classifier.parameters()),
        Adam([*model.parameters(), *guide.parameters()], lr=1e-3),
        clean_weight=1.0,
    )
    clean = Batch(x[:CLEAN], y[:CLEAN], torch.arange(CLEAN))
    algorithm.check(Batch(x[CLEAN : 2 * CLEAN], given[CLEAN : 2 * CLEAN], torch.arange(CLEAN)), clean)
    before = _loss(classifier, x[CLEAN:], y[CLEAN:])
    for chosen in torch.arange(CLEAN, COUNT).split(BATCH):
        algorithm.step(Batch(x[chosen], given[chosen], chosen), clean)
    assert algorithm.skipped == 0
    assert _loss(classifier, x[CLEAN:], y[CLEAN:]) < before - 0.05

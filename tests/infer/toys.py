"""Small classifiers, models, guides and batches with every feature that a strategy has to handle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal, Features, LabelEmbedding
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import PriorNetwork, Rectification

CLASSES = 3
INPUTS = 5
IMAGE = (2, 6, 6)


class Dense(Classifier):
    """input → linear → normalisation → activation → dropout → features → linear → logits."""

    def __init__(
        self,
        normalisation: Callable[[int], nn.Module] = nn.Identity,
        dropout: float = 0.0,
        inputs: int = INPUTS,
        classes: int = CLASSES,
        width: int = 6,
        activation: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = width, classes
        self.trunk = nn.Sequential(
            nn.Linear(inputs, width), normalisation(width), activation(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.top = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.trunk(x)
        return ClassifierOutput(self.top(features), features)


class Transformer(Classifier):
    """Encoder layers over a sequence of vectors of width 4 and a class token, whose output is the features."""

    def __init__(self, length: int, dropout: float = 0.0, layers: int = 1) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 4, CLASSES
        self.first = nn.Parameter(torch.randn(1, 1, 4))
        self.places = nn.Parameter(torch.randn(1, length + 1, 4))
        layer = nn.TransformerEncoderLayer(4, 2, 6, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.top = nn.Linear(4, CLASSES)

    def vectors(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> ClassifierOutput:
        tokens = torch.cat([self.first.expand(len(x), -1, -1), self.vectors(x)], 1)
        features = self.encoder(tokens + self.places)[:, 0]
        return ClassifierOutput(self.top(features), features)


class VisionTransformer(Transformer):
    """Vision transformer on patches of 3x3 pixels."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(4, dropout)
        self.patches = nn.Conv2d(IMAGE[0], 4, 3, stride=3)

    def vectors(self, x: Tensor) -> Tensor:
        return self.patches(x).flatten(2).mT


class TokenTransformer(Transformer):
    """Transformer over a sequence of tokens, the rounded inputs."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(INPUTS, dropout, layers=2)
        self.words = nn.Embedding(11, 4)

    def vectors(self, x: Tensor) -> Tensor:
        return self.words((3 * x).round().long().clamp(-5, 5) + 5)


class Convolutional(Classifier):
    """Two convolutions, each followed by a normalisation, average pooling, and a linear layer."""

    def __init__(self, normalisation: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        width = 4
        self.feature_dim, self.num_classes = width, CLASSES
        self.trunk = nn.Sequential(
            nn.Conv2d(IMAGE[0], width, 3, padding=1), normalisation(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1, bias=False), normalisation(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.top = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.trunk(x)
        return ClassifierOutput(self.top(features), features)


class Linear(Classifier):
    """Softmax regression: its features are its inputs, which depend on no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = INPUTS, CLASSES
        self.top = nn.Linear(INPUTS, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        return ClassifierOutput(self.top(x), x)


class TiedWeights(Classifier):
    """Two hidden layers that share one weight matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = INPUTS, CLASSES
        self.first = nn.Linear(INPUTS, INPUTS)
        self.second = nn.Linear(INPUTS, INPUTS)
        self.second.weight = self.first.weight
        self.top = nn.Linear(INPUTS, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.second(self.first(x).tanh()).tanh()
        return ClassifierOutput(self.top(features), features)


class SummedBiases(Dense):
    """Two parameters that enter only as their sum, so that they share one gradient tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(CLASSES))
        self.second = nn.Parameter(torch.randn(CLASSES))

    def forward(self, x: Tensor) -> ClassifierOutput:
        output = super().forward(x)
        return output._replace(logits=output.logits + (self.first + self.second))


class ScaledBySum(Dense):
    """A parameter that enters only as its sum, so that its gradient is one expanded number."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> ClassifierOutput:
        output = super().forward(x)
        return output._replace(logits=output.logits * self.parts.sum())


class AssignedBuffer(Dense):
    """A buffer that the forward pass assigns instead of changing it in place."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> ClassifierOutput:
        self.calls = self.calls + 1
        return super().forward(x)


def with_frozen_trunk() -> Classifier:
    """A classifier of which only the last layer is trained, as in fine-tuning."""
    classifier = Dense()
    classifier.trunk.requires_grad_(False)
    return classifier


small_prior = partial(PriorNetwork, hidden=(4,))


def rectification(feature_dim: int, classes: int = CLASSES, hidden: tuple[int, ...] = (4,)) -> Rectification:
    return Rectification(feature_dim, classes, prior=partial(PriorNetwork, hidden=hidden))


def diagonal_normal(feature_dim: int, classes: int = CLASSES, hidden: tuple[int, ...] = (4,)) -> DiagonalNormal:
    return DiagonalNormal(feature_dim, classes, hidden=hidden, inputs=[Features, partial(LabelEmbedding, dim=2)])


class GatedRectification(Model):
    """Rectification with a second latent per example: a gate in (0, 1) that scales its log-likelihood."""

    def __init__(self, feature_dim: int, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.prior = small_prior(feature_dim, num_classes)
        self.gate_location = nn.Parameter(torch.zeros(()))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        with pyro.plate("data", output.logits.shape[0]):
            v = pyro.sample("v", self.prior(output.features))
            gate = pyro.sample("gate", dist.Normal(self.gate_location, 1.0))
            with poutine.scale(scale=gate.sigmoid()):
                return pyro.sample("y", dist.Categorical(logits=v.sigmoid() * output.logits), obs=y)


class GatedGuide(Guide):
    """A diagonal normal for the vector and a normal for the gate, both computed from features and label."""

    def __init__(self, feature_dim: int, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.vector = diagonal_normal(feature_dim, num_classes)
        self.gate = nn.Linear(self.vector.inputs.width, 2)

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        seen = self.vector.inputs(output, y)
        location, log_scale = self.gate(seen).unbind(-1)
        with pyro.plate("data", y.shape[0]):
            pyro.sample("v", self.vector.network(seen))
            pyro.sample("gate", dist.Normal(location, log_scale.exp()))


class TemperedRectification(Rectification):
    """Rectification with one temperature for all data: a latent outside the plate."""

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        temperature = pyro.sample("temperature", dist.LogNormal(0.0, 1.0)).unsqueeze(-1)
        return super().forward(output._replace(logits=output.logits / temperature), y)


def tempered_rectification(feature_dim: int) -> TemperedRectification:
    return TemperedRectification(feature_dim, CLASSES, prior=small_prior)


class TemperedGuide(Guide):
    """A diagonal normal for the vector, and a learned log-normal for the temperature."""

    def __init__(self, feature_dim: int, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.vector = diagonal_normal(feature_dim, num_classes)
        self.location = nn.Parameter(torch.tensor(0.1))
        self.log_scale = nn.Parameter(torch.tensor(-1.0))

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        pyro.sample("temperature", dist.LogNormal(self.location, self.log_scale.exp()))
        self.vector(output, y)


def batch(size: int = 7, shape: tuple[int, ...] = (INPUTS,)) -> Batch:
    """A random batch whose labels include every class."""
    return Batch(torch.randn(size, *shape), torch.arange(size) % CLASSES)

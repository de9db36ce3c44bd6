"""Guide of a weight per example, uncertain or deterministic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.guides.inputs import InputFactory, Inputs, LabelOneHot, Loss
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.networks import DiagonalNormalNetwork, hidden_layers


class GateNetwork(nn.Module):
    """Network that computes q(g | x, y) of a latent gate: a normal or a point mass.

    Args:
        feature_dim: D.
        num_classes: K.
        hidden: widths of the hidden layers.
        inputs: constructors of the network's inputs; loss and one-hot label if None.
        dirac: whether the gate is deterministic (a point mass).
        activation: constructor of the activation after each hidden layer.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        hidden: Sequence[int] = (32,),
        inputs: Sequence[InputFactory] | None = None,
        dirac: bool = False,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        self.inputs = Inputs(feature_dim, num_classes, (Loss, LabelOneHot) if inputs is None else inputs)
        self.dirac = dirac
        if dirac:
            body, width = hidden_layers(self.inputs.width, hidden, activation)
            self.network: nn.Module = nn.Sequential(body, nn.Linear(width, 1))
        else:
            self.network = DiagonalNormalNetwork(self.inputs.width, 1, hidden, activation=activation)

    def forward(self, output: ClassifierOutput, y: Tensor) -> Any:
        """Return q(g | x, y) with batch shape [batch]."""
        made = self.network(self.inputs(output, y))
        if self.dirac:
            return dist.Delta(made.squeeze(-1))
        return dist.Normal(made.base_dist.loc.squeeze(-1), made.base_dist.scale.squeeze(-1))


class ScalarWeight(Guide):
    """Guide q(g | x, y) of the weight in :class:`vri_pyro.models.WeightedCrossEntropy`.

    Args:
        feature_dim: D.
        num_classes: K.
        hidden: widths of the hidden layers.
        inputs: constructors of the network's inputs; the loss if None, as in MW-Net.
        dirac: whether the weight is deterministic, as in MW-Net; otherwise it has a normal posterior.
        activation: constructor of the activation after each hidden layer; MW-Net uses ``torch.nn.ReLU``.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        hidden: Sequence[int] = (100,),
        inputs: Sequence[InputFactory] | None = None,
        dirac: bool = True,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        inputs = (Loss,) if inputs is None else inputs
        self.gate = GateNetwork(feature_dim, num_classes, hidden, inputs, dirac, activation)

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Guide`. Site: ``gate`` [batch]."""
        q = self.gate(output, y)
        with pyro.plate("data", y.shape[0]):
            return pyro.sample("gate", q)

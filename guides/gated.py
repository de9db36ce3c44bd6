"""Guide of the rectifying vector and the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyro
from torch import Tensor

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.diagonal_normal import DiagonalNormal
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.guides.scalar_weight import GateNetwork
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput


class Gated(Guide):
    """Guide q(v | x, y) q(g | x, y) for :class:`vri_pyro.models.GatedRectification`.

    The gate has its own small network, by default on the loss and the label. It has to learn whether the label agrees
    with the classifier; a large network on the features would overfit.

    Args:
        feature_dim: D.
        num_classes: K.
        vector: constructor of the vector's guide, called with (feature_dim, num_classes).
        gate_hidden: widths of the tanh layers in the gate's network.
        gate_inputs: constructors of the inputs of the gate's network; loss and one-hot label if None.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        vector: Callable[[int, int], AmortisedVector] = DiagonalNormal,
        gate_hidden: Sequence[int] = (32,),
        gate_inputs: Sequence[InputFactory] | None = None,
    ) -> None:
        super().__init__()
        self.vector = vector(feature_dim, num_classes)
        self.gate = GateNetwork(feature_dim, num_classes, gate_hidden, gate_inputs)

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Guide`. Sites: ``v`` [batch, K] and ``gate`` [batch]."""
        vector, gate = self.vector.posterior(output, y), self.gate(output, y)
        with pyro.plate("data", y.shape[0]):
            pyro.sample("v", vector)
            pyro.sample("gate", gate)

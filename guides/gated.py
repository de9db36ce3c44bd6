"""A guide of the rectifying vector with a gate beside it."""

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
    """q(v | x, y) q(g | x, y) for :class:`vri_pyro.models.GatedRectification`.

    The gate has a small network of its own on the loss and the label: what it must learn is whether the label agrees
    with the classifier, which a large network on the features over-fits.

    Args:
        feature_dim: D.
        num_classes: K.
        vector: builds the vector's guide from (feature_dim, num_classes).
        gate_hidden: widths of the tanh layers of the gate's network.
        gate_inputs: what the gate sees of an example; the loss and the label when None.
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

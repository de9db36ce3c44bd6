"""Deterministic rectifying vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.interfaces.networks import hidden_layers


class DiracVector(AmortisedVector):
    """Deterministic rectifying vector v(x, y): the non-Bayesian variant of VRI (paper, table 11).

    Its KL term is -log p(v). With a positive KL weight, v is therefore a maximum a posteriori estimate. The weight is
    usually 0.

    Args:
        feature_dim: D.
        num_classes: K.
        hidden: widths of the tanh layers.
        inputs: constructors of the network's inputs; features and label embedding if None.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        hidden: Sequence[int] = (1024, 512),
        inputs: Sequence[InputFactory] | None = None,
    ) -> None:
        super().__init__(feature_dim, num_classes, inputs)
        body, width = hidden_layers(self.inputs.width, hidden)
        self.network = nn.Sequential(body, nn.Linear(width, num_classes))

    def distribution(self, seen: Tensor) -> Any:
        """See :class:`AmortisedVector`."""
        return dist.Delta(self.network(seen), event_dim=1)

"""The paper's meta-network V_φ: q(v | x, y), a diagonal normal computed from features and label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.interfaces.networks import DiagonalNormalNetwork


class DiagonalNormal(AmortisedVector):
    """Diagonal normal posterior q_φ(v | z, y) = Normal(μ(z, e(y)), σ²(z, e(y))), sampled as v = μ + σε (paper, §3).

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        hidden: widths of the tanh layers; 1024 and 512 in the paper.
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
        self.network = DiagonalNormalNetwork(self.inputs.width, num_classes, hidden)

    def distribution(self, seen: Tensor) -> Any:
        """See :class:`AmortisedVector`."""
        return self.network(seen)

"""Normalising-flow posterior, conditioned on the example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from pyro.distributions.transforms import conditional_affine_autoregressive
from torch import Tensor, nn

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.interfaces.networks import DiagonalNormalNetwork
from vri_pyro.utils.numbers import check_integer


class NormalisingFlow(AmortisedVector):
    """Normalising-flow posterior q(v | x, y): a diagonal normal with autoregressive transforms.

    The transforms are affine and conditional: both the normal and the transforms depend on the inputs. Each transform
    has its own random order of the classes, drawn at construction. The KL is a Monte Carlo estimate.

    Args:
        feature_dim: D.
        num_classes: K.
        transforms: number of transforms, at least 1.
        transform_hidden: width of the hidden layer of each transform; K if K is larger.
        hidden: widths of the tanh layers in the network of the normal.
        inputs: constructors of the network's inputs; features and label embedding if None.

    Reference: Kingma et al., Improved variational inference with inverse autoregressive flow, NeurIPS 2016.
    """

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        transforms: int = 2,
        transform_hidden: int = 64,
        hidden: Sequence[int] = (1024, 512),
        inputs: Sequence[InputFactory] | None = None,
    ) -> None:
        super().__init__(feature_dim, num_classes, inputs)
        check_integer("transforms", transforms, 1, remedy="; use DiagonalNormal for no transforms")
        check_integer("transform_hidden", transform_hidden, 1)
        self.network = DiagonalNormalNetwork(self.inputs.width, num_classes, hidden)
        self.transforms = nn.ModuleList(
            conditional_affine_autoregressive(num_classes, self.inputs.width, [max(transform_hidden, num_classes)])
            for _ in range(transforms)
        )

    def distribution(self, seen: Tensor) -> Any:
        """See :class:`AmortisedVector`."""
        transforms: Any = self.transforms
        return dist.TransformedDistribution(self.network(seen), [one.condition(seen) for one in transforms])

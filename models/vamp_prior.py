"""A prior made of the guide itself, at learned inputs."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.utils.errors import UserError


class VampPrior(Prior):
    """p(v) = (1/M) Σ_m q(v | u_m): the mean of the guide's posteriors at M learned pseudo-inputs.

    It needs a guide that says what it sees and how, with a diagonal normal posterior, such as
    :class:`vri_pyro.guides.DiagonalNormal`. The KL to it is by Monte Carlo.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        components: M, at least 2.

    Reference: Tomczak and Welling, VAE with a VampPrior, AISTATS 2018.
    """

    def __init__(self, feature_dim: int, num_classes: int, components: int = 10) -> None:
        super().__init__()
        if components < 2:
            raise UserError(f"components is {components}; give at least 2")
        self.components = components
        self.pseudo_inputs: Tensor = nn.UninitializedParameter()
        self._guide: list[Any] = []  # in a list, so that its parameters stay the guide's

    def bind(self, guide: Guide) -> None:
        """Take the guide's posterior for the components, and begin with new pseudo-inputs of the width it sees."""
        if not hasattr(guide, "distribution") or not hasattr(guide, "inputs"):
            raise UserError(
                f"{type(guide).__name__} does not say what it sees; VampPrior needs one such as DiagonalNormal"
            )
        self._guide = [guide]
        inputs: Any = guide.inputs
        like = next(guide.parameters())
        self.pseudo_inputs = nn.Parameter(like.new_empty(self.components, inputs.width).normal_())

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`."""
        if not self._guide:
            raise UserError("VampPrior has no guide yet; call model.bind(guide)")
        normal = self._guide[0].distribution(self.pseudo_inputs)
        if not isinstance(getattr(normal, "base_dist", None), torch.distributions.Normal):
            raise UserError("VampPrior needs a guide with a diagonal normal posterior, such as DiagonalNormal")
        batch = features.shape[:-1]
        locations, scales = (part.expand(*batch, -1, -1) for part in (normal.base_dist.loc, normal.base_dist.scale))
        return dist.MixtureOfDiagNormals(locations, scales, locations.new_zeros(*batch, self.components))

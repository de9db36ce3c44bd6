"""VampPrior: the mean of the guide's posteriors at learned pseudo-inputs."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer


class VampPrior(Prior):
    """VampPrior p(v) = (1/M) Σ_m q(v | u_m): mean of the guide's posteriors at pseudo-inputs.

    The M pseudo-inputs u_m are learned. The prior needs a guide with the attributes ``inputs`` and ``distribution`` and
    a diagonal normal posterior, such as :class:`vri_pyro.guides.DiagonalNormal`. Its KL is a Monte Carlo estimate.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        components: M, number of components, at least 2.

    Reference: Tomczak and Welling, VAE with a VampPrior, AISTATS 2018.
    """

    def __init__(self, feature_dim: int, num_classes: int, components: int = 10) -> None:
        super().__init__()
        check_integer("components", components, 2)
        self.components = components
        self.pseudo_inputs: Tensor = nn.UninitializedParameter()
        self._guide: list[Any] = []  # a list, so that the guide is not registered as a submodule

    def bind(self, guide: Guide) -> None:
        """Use the posterior of ``guide`` for the components, and draw new pseudo-inputs of the width of its inputs.

        Raises:
            UserError: the guide lacks ``distribution`` or ``inputs``.
        """
        if not hasattr(guide, "distribution") or not hasattr(guide, "inputs"):
            raise UserError(
                f"{type(guide).__name__} has no attributes distribution and inputs; "
                "VampPrior needs a guide with both, such as DiagonalNormal"
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

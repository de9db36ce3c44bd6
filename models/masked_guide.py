"""Prior computed by the network of the guide, with the label masked."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


class MaskedGuide(Prior):
    """Prior p(v | x) = q(v | x, no label): the guide with zeros in place of the label, as in the authors' script.

    The prior shares the parameters of the guide and has none of its own. Nothing prevents prior and posterior from
    narrowing together.

    Args:
        feature_dim: D.
        num_classes: K.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._guide: list[Any] = []  # a list, so that the guide is not registered as a submodule

    def bind(self, guide: Guide) -> None:
        """Use the posterior of ``guide`` as the prior.

        Raises:
            UserError: the guide has no method ``posterior``.
        """
        if not hasattr(guide, "posterior"):
            raise UserError(
                f"{type(guide).__name__} has no method posterior(output, y); "
                "MaskedGuide needs a guide with this method, such as DiagonalNormal"
            )
        self._guide = [guide]

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`; the guide receives zeros in place of the logits."""
        if not self._guide:
            raise UserError("MaskedGuide has no guide yet; call model.bind(guide)")
        logits = features.new_zeros(*features.shape[:-1], self.num_classes)
        return self._guide[0].posterior(ClassifierOutput(logits, features), None)

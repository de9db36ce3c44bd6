"""The guide's own network as the prior, with the label masked."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
from torch import Tensor

from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


class MaskedGuide(Prior):
    """p(v | x) = q(v | x, no label): zeros in the label's place, as the authors' released script has it.

    It shares the guide's parameters and has none of its own. Nothing keeps prior and posterior from narrowing together.

    Args:
        feature_dim: D.
        num_classes: K.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._guide: list[Any] = []  # in a list, so that its parameters stay the guide's

    def bind(self, guide: Guide) -> None:
        """Take the guide's posterior."""
        if not hasattr(guide, "posterior"):
            raise UserError(
                f"{type(guide).__name__} has no posterior(output, y); MaskedGuide needs one, as DiagonalNormal's"
            )
        self._guide = [guide]

    def forward(self, features: Tensor) -> dist.Distribution:
        """See :class:`~vri_pyro.interfaces.base.Prior`; a guide that sees the logits finds zeros there."""
        if not self._guide:
            raise UserError("MaskedGuide has no guide yet; call model.bind(guide)")
        logits = features.new_zeros(*features.shape[:-1], self.num_classes)
        return self._guide[0].posterior(ClassifierOutput(logits, features), None)

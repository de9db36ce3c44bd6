"""Empty guide for models without latents."""

from __future__ import annotations

from torch import Tensor

from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput


class NoLatents(Guide):
    """Empty guide for models without latents, such as :class:`vri_pyro.models.CrossEntropy`."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Guide`."""

"""What a method is made of: the base classes of models, priors and guides.

The engine takes any Pyro callables with the signature ``(output, y)``; these classes say what a configuration may name.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vri_pyro.classifier import ClassifierOutput


class Model(nn.Module):
    """A generative model of the given labels, as a Pyro model; built as ``Model(feature_dim, num_classes, ...)``."""

    def bind(self, guide: Guide) -> None:
        """Meet the guide that the model is paired with, before training; for priors made of the guide's parts."""

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Any:
        """Sample the latents and observe ``y`` [batch] inside ``pyro.plate("data")``; sample it when None."""
        raise NotImplementedError


class Guide(nn.Module):
    """An amortised posterior, as a Pyro guide; built as ``Guide(feature_dim, num_classes, ...)``."""

    def forward(self, output: ClassifierOutput, y: Tensor) -> Any:
        """Sample every latent of the model, reparameterised, given ``y`` [batch]."""
        raise NotImplementedError


class Prior(nn.Module):
    """The distribution of the rectifying vector before the label is seen; ``Prior(feature_dim, num_classes, ...)``."""

    def bind(self, guide: Guide) -> None:
        """Meet the guide that the prior is paired with, before training."""

    def forward(self, features: Tensor) -> Any:
        """Map ``features`` [batch, D] to a distribution with batch shape [batch] and event shape [K]."""
        raise NotImplementedError

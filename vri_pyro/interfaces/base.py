"""What a method is made of: the base classes of models, priors and guides.

The engine takes any Pyro callables with the signature ``(output, y)``; these classes say what a configuration may name.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext


class Model(nn.Module):
    """A generative model of the given labels, as a Pyro model; built as ``Model(feature_dim, num_classes, ...)``."""

    def bind(self, guide: Guide) -> None:
        """Meet the guide that the model is paired with, before training; for priors made of the guide's parts."""

    def begin_training(self, context: TrainingContext) -> None:
        """Called once before the first step of training, for what a model learns from the data as a whole.

        What it computes belongs into the module's state: a resumed run does not call it again.

        Args:
            context: the data and the classifier as earlier stages left it.
        """

    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """Look at a batch after the step on it and after the guide did, without a graph; to remember what was seen.

        Args:
            output: the classifier's, as the step saw it, with the examples' positions where the batch has them.
            y: the given labels, int64 [batch].
        """

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Any:
        """Sample the latents and observe ``y`` [batch] inside ``pyro.plate("data")``; sample it when None."""
        raise NotImplementedError


class Guide(nn.Module):
    """An amortised posterior, as a Pyro guide; built as ``Guide(feature_dim, num_classes, ...)``."""

    def begin_training(self, model: Any, context: TrainingContext) -> None:
        """Called once before the first step of training, after the model's; see :meth:`Model.begin_training`."""

    def end_step(self, model: Any, output: ClassifierOutput, y: Tensor) -> None:
        """Look at a batch after the step on it, without a graph; for what follows the bound and not a gradient.

        Args:
            model: the guide's.
            output: the classifier's, as the step saw it.
            y: the given labels, int64 [batch].
        """

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

"""Base classes of models, guides and priors.

The engine accepts any Pyro callables with the signature ``(output, y)``. A configuration accepts only subclasses of
these classes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext


class Model(nn.Module):
    """Base class of generative models of the given labels; built as ``Model(feature_dim, num_classes, ...)``.

    A subclass implements :meth:`forward` as a Pyro model. The other methods are optional hooks.
    """

    def bind(self, guide: Guide) -> None:
        """Hook that receives the paired guide before training; for priors that use parts of the guide."""

    def begin_training(self, context: TrainingContext) -> None:
        """Hook called once before the first step of training, to compute quantities from the whole data set.

        A resumed run does not call this hook again, so everything that it computes must be in the module's state dict.

        Args:
            context: the data, and the classifier as earlier stages left it.
        """

    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """Hook called after each completed step, under ``torch.no_grad``, to record values per example.

        It is called after the hook of the guide.

        Args:
            output: the classifier's output in the step, with the positions of the examples if the batch has them.
            y: the given labels, int64 [batch].
        """

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Any:
        """Sample the latents, and observe ``y`` [batch] inside ``pyro.plate("data")``; sample ``y`` if it is None."""
        raise NotImplementedError


class Guide(nn.Module):
    """Base class of amortised posteriors; built as ``Guide(feature_dim, num_classes, ...)``.

    A subclass implements :meth:`forward` as a Pyro guide. The other methods are optional hooks.

    Attributes:
        uses_inputs: whether the guide reads the inputs of the examples, ``output.inputs``.
    """

    uses_inputs: bool = False

    def begin_training(self, model: Any, context: TrainingContext) -> None:
        """Hook called once before the first step of training, after the model's; see :meth:`Model.begin_training`.

        Args:
            model: the paired model.
            context: the data, and the classifier as earlier stages left it.
        """

    def end_step(self, model: Any, output: ClassifierOutput, y: Tensor) -> None:
        """Hook called after each completed step, under ``torch.no_grad``, for parameters not trained by gradients.

        Args:
            model: the paired model.
            output: the classifier's output in the step.
            y: the given labels, int64 [batch].
        """

    def forward(self, output: ClassifierOutput, y: Tensor) -> Any:
        """Sample every latent of the model given ``y`` [batch], from reparameterised distributions."""
        raise NotImplementedError


class Prior(nn.Module):
    """Base class of priors of the rectifying vector; built as ``Prior(feature_dim, num_classes, ...)``.

    A prior may depend on the features but not on the label.
    """

    def bind(self, guide: Guide) -> None:
        """Hook that receives the paired guide before training."""

    def forward(self, features: Tensor) -> Any:
        """Map ``features`` [batch, D] to a distribution with batch shape [batch] and event shape [K]."""
        raise NotImplementedError

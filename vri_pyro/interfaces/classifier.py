"""Base class of classifiers, and their output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vri_pyro.utils.errors import UserError


class ClassifierOutput(NamedTuple):
    """Output of the classifier F_θ, which model and guide receive.

    Attributes:
        logits: unnormalised log-probabilities, [batch, classes].
        features: the penultimate representation z, [batch, features].
        index: positions of the examples in their data set, int64 [batch], for models that store values per example.
            A classifier leaves it None; training sets it.
        inputs: inputs of the examples, of this process alone if several train together, for guides with a network of
            their own (:attr:`vri_pyro.interfaces.base.Guide.uses_inputs`). A classifier leaves it None.
    """

    logits: Tensor
    features: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # shadows tuple.index, which is not needed
    inputs: Tensor | None = None


class Classifier(nn.Module):
    """Base class of classifiers: ``forward(x)`` returns a :class:`ClassifierOutput`.

    The last layer is the module ``head``, if there is one, and all other layers are the trunk. Only a classifier with a
    ``head`` can be trained with a frozen trunk, or with another learning rate for it.

    Attributes:
        feature_dim: width of ``features``, which the constructors of guides and priors need.
        num_classes: width of ``logits``.
        autocast: lower precision in which the network computes in training, such as ``torch.bfloat16``; None for the
            type of its parameters. Its outputs, and everything behind them, have the type of the inputs, or float32
            if these are integers. Evaluation and prediction do not use it.
        takes_pixels: whether ``forward`` expects pixels from 0 to 1, which it normalises itself. Otherwise it expects
            inputs that are standardised by the mean and the standard deviation of the training set.
        trunk_is_frozen: whether :meth:`freeze_trunk` was called.
    """

    feature_dim: int
    num_classes: int
    autocast: torch.dtype | None = None
    takes_pixels: bool = False
    trunk_is_frozen: bool = False

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify a batch ``x`` [batch, ...]."""
        raise NotImplementedError

    def freeze_trunk(self) -> Self:
        """Keep all layers but the head as they are, and return the classifier.

        Their parameters get no gradient, and they stay in evaluation mode also while the head is trained. Batch
        statistics therefore don't change, and dropout in the trunk is off.

        Raises:
            UserError: the classifier has no ``head``.
        """
        for parameter in trunk_parameters(self):
            parameter.requires_grad_(False)
        self.trunk_is_frozen = True
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if mode and self.trunk_is_frozen:
            for name, layer in self.named_children():
                layer.train(name == HEAD)
        return self


#: name of the last layer of a classifier
HEAD = "head"


def trunk_parameters(classifier: Classifier) -> list[nn.Parameter]:
    """Parameters of all layers but the head.

    Raises:
        UserError: the classifier has no ``head``.
    """
    head = getattr(classifier, HEAD, None)
    if not isinstance(head, nn.Module):
        raise UserError(
            f"{type(classifier).__name__} has no layer named {HEAD}, so its trunk is unknown; name its last layer "
            f"{HEAD}, or leave out the options of the trunk"
        )
    own = {id(parameter) for parameter in head.parameters()}
    return [parameter for parameter in classifier.parameters() if id(parameter) not in own]


def lazy_parameter(classifier: nn.Module) -> str | None:
    """Name of a parameter or buffer of a lazy layer that has not seen an input yet; None if there is none."""
    named = (*classifier.named_parameters(), *classifier.named_buffers())
    return next((name for name, tensor in named if is_lazy(tensor)), None)


def check_initialised(classifier: nn.Module) -> None:
    """Raise if lazy layers of the classifier have not seen an input yet."""
    if (name := lazy_parameter(classifier)) is not None:
        raise UserError(
            f"'{name}' of {type(classifier).__name__} is lazy and has no shape yet; "
            "run the classifier once on a batch before you build its optimiser"
        )


@torch.no_grad()
def initialise_lazy(classifier: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Run the classifier on two inputs of zeros in evaluation mode, if it has lazy layers, to give them their shapes.

    Args:
        classifier: the classifier, on the CPU.
        input_shape: shape of one input.
    """
    if lazy_parameter(classifier) is not None:
        with evaluating(classifier):
            classifier(torch.zeros(2, *input_shape))


@contextmanager
def evaluating(classifier: nn.Module) -> Iterator[None]:
    """Context manager that sets evaluation mode and restores the previous mode on exit."""
    training = classifier.training
    classifier.eval()
    try:
        yield
    finally:
        classifier.train(training)

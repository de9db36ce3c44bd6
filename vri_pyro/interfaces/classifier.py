"""Base class of classifiers, and their output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

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
    """

    logits: Tensor
    features: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # shadows tuple.index, which is not needed


class Classifier(nn.Module):
    """Base class of classifiers: ``forward(x)`` returns a :class:`ClassifierOutput`.

    Attributes:
        feature_dim: width of ``features``, which the constructors of guides and priors need.
        num_classes: width of ``logits``.
        autocast: lower precision in which the network computes in training, such as ``torch.bfloat16``; None for the
            type of its parameters. Its outputs, and everything behind them, keep the type of the inputs. Evaluation
            and prediction do not use it.
    """

    feature_dim: int
    num_classes: int
    autocast: torch.dtype | None = None

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify a batch ``x`` [batch, ...]."""
        raise NotImplementedError


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

"""Base class of classifiers, and their output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn


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
    """

    feature_dim: int
    num_classes: int

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify a batch ``x`` [batch, ...]."""
        raise NotImplementedError


@contextmanager
def evaluating(classifier: nn.Module) -> Iterator[None]:
    """Context manager that sets evaluation mode and restores the previous mode on exit."""
    training = classifier.training
    classifier.eval()
    try:
        yield
    finally:
        classifier.train(training)

"""The classifier that users subclass, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn


class ClassifierOutput(NamedTuple):
    """What the classifier F_θ hands to a model and a guide.

    Attributes:
        logits: unnormalised log-probabilities, [batch, classes].
        features: the penultimate representation z, [batch, features].
        index: positions of the examples in their data set, int64 [batch], for models that remember something of each;
            a classifier leaves it out, and training adds it.
    """

    logits: Tensor
    features: Tensor
    index: Tensor | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class Classifier(nn.Module):
    """Base class of classifiers: ``forward(x)`` returns a :class:`ClassifierOutput`.

    Attributes:
        feature_dim: width of ``features``; the constructors of guides and priors ask for it.
        num_classes: width of ``logits``.
    """

    feature_dim: int
    num_classes: int

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify a batch ``x`` [batch, ...]."""
        raise NotImplementedError


@contextmanager
def evaluating(classifier: nn.Module) -> Iterator[None]:
    """Put the classifier into evaluation mode, and back into the mode it was in."""
    training = classifier.training
    classifier.eval()
    try:
        yield
    finally:
        classifier.train(training)

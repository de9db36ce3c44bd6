"""Where a hypergradient is split: the tensors of an output through which the inner loss depends on the parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from vri_pyro.interfaces.classifier import ClassifierOutput


class Cut[Output](ABC):
    """Takes the tensors out of a network's output, and puts others in their place."""

    @abstractmethod
    def tensors(self, output: Output) -> Sequence[Tensor]:
        """Return the tensors of ``output`` through which the inner loss depends on the network's parameters."""

    @abstractmethod
    def replaced(self, output: Output, tensors: Sequence[Tensor]) -> Output:
        """Return ``output`` with other ``tensors``, which depends on the network's parameters through nothing else."""


class TensorCut(Cut[Tensor]):
    """Cut of an output that is one tensor, such as a loss per example."""

    def tensors(self, output: Tensor) -> list[Tensor]:
        """See :class:`Cut`."""
        return [output]

    def replaced(self, output: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Cut`."""
        return tensors[0]


class ClassifierCut(Cut[ClassifierOutput]):
    """Cut of a classifier's output at its logits and, unless they are detached, its features.

    Args:
        detach_features: whether the inner loss receives the features detached.
    """

    def __init__(self, detach_features: bool) -> None:
        self.detach_features = detach_features

    def tensors(self, output: ClassifierOutput) -> list[Tensor]:
        """See :class:`Cut`."""
        return [output.logits] if self.detach_features else [output.logits, output.features]

    def replaced(self, output: ClassifierOutput, tensors: Sequence[Tensor]) -> ClassifierOutput:
        """See :class:`Cut`."""
        features = output.features.detach() if self.detach_features else tensors[1]
        return output._replace(logits=tensors[0], features=features)

    def whole(self, output: ClassifierOutput) -> ClassifierOutput:
        """Return ``output`` as the inner loss receives it."""
        return self.replaced(output, self.tensors(output))

"""What the loop over epochs asks of whatever it trains: a single algorithm, or several side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from vri_pyro.data.batch import Labelled
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import EpochView, Pools


class Learner(ABC):
    """Trains ``classifier`` one step at a time on a batch of noisy and a batch of clean labels.

    Attributes:
        classifier: what is trained in the end.
        structural_zeros: parameter groups that no hypergradient can reach, once that is known.
    """

    classifier: Classifier
    structural_zeros: tuple[str, ...] | None = None

    @property
    @abstractmethod
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the classifier's optimiser, whose learning rates a schedule moves."""

    @property
    @abstractmethod
    def skipped(self) -> int:
        """Updates refused so far for not being finite."""

    @abstractmethod
    def step(self, noisy: Labelled, clean: Labelled) -> Metrics:
        """Take one step and return its scalars, on the batch's device."""

    @abstractmethod
    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Move the classifier alone, by its own optimiser, down a loss of its logits; not where that is not finite.

        Args:
            x: inputs [B, ...].
            loss: a scalar of the logits [B, K].

        Returns:
            the loss, [], on the device.
        """

    def begin_epoch(self, view: EpochView) -> Pools | None:
        """Look at the run before the first step of an epoch, and choose what to draw batches from.

        It is not called again when a run resumes in mid-epoch: what it computes is kept in the learner's state, and
        the pools are kept by the trainer.

        Args:
            view: the run as it stands.

        Returns:
            the pools of the following batches of the phase, until it returns others; None changes nothing.
        """
        return None

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that a step reads or changes, as tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a :meth:`state_dict`."""

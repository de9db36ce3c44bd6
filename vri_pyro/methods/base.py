"""Methods as a configuration names them: what to build around a classifier once its shape is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError

OptimizerFactory = Callable[[Iterable[Tensor]], Optimizer]
Pool = Literal["noisy", "clean", "noisy_and_clean"]


class Method(ABC):
    """Builds an algorithm around a classifier.

    Attributes:
        pool: the examples that the first batch of a step is drawn from.
        views: how many augmented views of that batch the algorithm asks for, 1 or 2.
        needs_clean: whether it cannot do without clean examples.
    """

    pool: Pool
    views: Literal[1, 2] = 1
    needs_clean: bool = True

    @abstractmethod
    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Algorithm:
        """The algorithm that trains ``classifier`` with ``optimizer``, on the classifier's device."""

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """The stages that a stage by this method consists of, such as the folds of a cross-validation.

        Args:
            name: the stage's, such as "training".
            stage: by this method, with its number of epochs.

        Returns:
            stages by name, in the order of training; each becomes a phase, by its own method's :meth:`build`. Those
            without a number of epochs are as long as the run's main phase.
        """
        return {name: stage}


@dataclass(frozen=True)
class Stage:
    """A part of a run, trained by one method.

    Attributes:
        method: what to train by.
        optimizer: of the classifier.
        epochs: its length; null for that of the run's main phase.
        schedule: factor on the classifier's learning rate; null for that of the run.
    """

    method: Method
    optimizer: OptimizerFactory
    epochs: int | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        """Check the length."""
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs is {self.epochs}; give at least 1")

"""Base class of the methods in a configuration, and the stages that they train."""

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
from vri_pyro.utils.numbers import check_integer

OptimizerFactory = Callable[[Iterable[Tensor]], Optimizer]
Pool = Literal["noisy", "clean", "noisy_and_clean"]


class Method(ABC):
    """Base class of training methods; builds the algorithm that trains a given classifier.

    Attributes:
        pool: the examples from which the first batch of each step, ``noisy``, is drawn.
        views: number of augmented views of that batch that the algorithm uses, 1 or 2.
        needs_clean: whether the method requires clean examples.
        models_noise: whether the method infers from the noisy labels how they came about. Its noisy batches keep the
            labels of before a review, since those that are left are a selection; its clean batches have the new ones.
        networks: number of networks that the method trains together; 1 for any number.
    """

    pool: Pool
    views: Literal[1, 2] = 1
    needs_clean: bool = True
    models_noise: bool = False
    networks: int = 1

    @abstractmethod
    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Algorithm:
        """Build the algorithm that trains ``classifier`` with ``optimizer``, on the classifier's device."""

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """Expand a stage of this method into the stages to train, such as the folds of a cross-validation.

        Args:
            name: name of the stage, such as "training".
            stage: the stage, with its number of epochs.

        Returns:
            stages by name, in the order of training. The method of each stage builds its own algorithm. A stage
            without a number of epochs is as long as the main stage of the run.
        """
        return {name: stage}


@dataclass(frozen=True)
class Stage:
    """A part of a run that is trained with one method.

    Attributes:
        method: the training method.
        optimizer: optimiser of the classifier.
        epochs: number of epochs; null for the number of epochs of the main stage.
        schedule: factor on the classifier's learning rate; null for the schedule of the run.

    Raises:
        UserError: ``epochs`` is below 1.
    """

    method: Method
    optimizer: OptimizerFactory
    epochs: int | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        """Check ``epochs``."""
        if self.epochs is not None:
            check_integer("epochs", self.epochs, 1)

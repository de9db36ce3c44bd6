"""A trainer over a classifier of one vector, whose every step and choice is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from vri_pyro.data import DeviceData
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.schedules import Constant, Schedule
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.training.run_data import RunData
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.selection import Selection
from vri_pyro.training.stages import BuiltStage
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.progress import ProgressDisplay

CLASSES, SIZE, BATCH, STEPS = 3, 40, 8, 2
NOISY, CLEAN, VALIDATION = np.arange(20), np.arange(20, 30), np.arange(30, 40)
# Of the ten validation examples one is of class 0, three are of class 1 and six of class 2.
LABELS = np.concatenate([np.arange(30) % CLASSES, [0], np.full(3, 1), np.full(6, 2)])
ACCURACY = {0: 10.0, 1: 30.0, 2: 60.0}


class Constants(Classifier):
    """The same logits for every input: its one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 1, CLASSES
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, x: Tensor) -> ClassifierOutput:
        return ClassifierOutput(self.bias.expand(len(x), -1), x[:, :1])


@dataclass(frozen=True)
class Seen:
    """What a step was given: positions of both batches, in order, and the learning rate."""

    noisy: list[int]
    clean: list[int]
    rate: float


class Scripted(Algorithm):
    """Follows a script: step n is ``move(parameter, n)``, and its loss is drawn at random.

    Attributes:
        seen: what each step was given.
        contexts: what :meth:`begin_training` was given.
        chosen: what it returns.
    """

    stateful = ("classifier", "optimizer", "guard")

    def __init__(
        self,
        classifier: Constants,
        move: Callable[[Tensor, int], Tensor],
        rate: float = 0.1,
        chosen: Tensor | None = None,
    ) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped=1)
        self.bias, self.move, self.chosen = classifier.bias, move, chosen
        self.optimizer = SGD(classifier.parameters(), lr=rate)
        self.seen: list[Seen] = []
        self.contexts: list[TrainingContext] = []
        self.number = 0

    @property
    def classifier_optimizer(self) -> Optimizer:
        return self.optimizer

    def begin_training(self, context: TrainingContext) -> Tensor | None:
        self.contexts.append(context)
        return self.chosen

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        self.seen.append(Seen(_positions(noisy), _positions(clean), self.optimizer.param_groups[0]["lr"]))
        with torch.no_grad():
            self.bias.copy_(self.move(self.bias, self.number))
        self.number += 1
        return {"loss": torch.rand(())}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"number": self.number}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict(state)
        self.number = state["number"]


def _positions(batch: Batch) -> list[int]:
    return [] if batch.index is None else batch.index.tolist()


@dataclass(eq=False)
class ScriptedSelection(Selection):
    """Chooses one list of positions after the other.

    Attributes:
        choices: the lists, one an epoch.
        asked: the classifier's parameter and the positions that each choice was made from.
    """

    choices: Sequence[list[int]]
    asked: list[tuple[Tensor, list[int]]] = field(default_factory=list)

    def __call__(self, classifier: Any, examples: Any, noisy: np.ndarray) -> np.ndarray:
        self.asked.append((classifier.bias.detach().clone(), noisy.tolist()))
        return np.array(self.choices[len(self.asked) - 1])

    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        raise NotImplementedError


def stage(name: str, algorithm: Algorithm, epochs: int, **options: Any) -> BuiltStage:
    """A stage on the noisy examples."""
    return BuiltStage(name, algorithm, NOISY, epochs, **options)


def trainer(
    path: Path, stages: list[BuiltStage], schedule: Schedule | None = None, clean: np.ndarray = CLEAN, **options: Any
) -> Trainer:
    """A trainer of these stages, with two steps an epoch, in a folder."""
    x = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None]
    train = DeviceData(x, LABELS, "cpu", np.zeros(1), np.ones(1))
    folder = RunFolder(path)
    folder.make()
    folder.write_config("")  # the first file of a run
    return Trainer(
        stages,
        RunData(train, train, clean, VALIDATION),
        folder,
        Constant() if schedule is None else schedule,
        steps_per_epoch=STEPS,
        batch_size=BATCH,
        clean_batch_size=4,
        seed=3,
        config="seed: 3\n",
        **options,
    )


def train(trained: Trainer) -> list[dict[str, Any]]:
    """Train to the end; the rows of the metrics."""
    return trained.run(lambda epochs, steps: ProgressDisplay(epochs, steps, Console(quiet=True)))

"""Algorithms that record their inputs, and parts of tiny runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.guides import NoLatents
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.single_level import SingleLevel
from vri_pyro.models import CrossEntropy


class SeenStep(NamedTuple):
    """The inputs of one step, the learning rates and the mode of the classifier."""

    noisy: Batch
    clean: Batch
    rates: tuple[float, ...]
    training_mode: bool


class Spy(Algorithm):
    """Trains nothing and records every step; its loss is the number of the step."""

    def __init__(self, classifier: Classifier, optimizer: Optimizer) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped=1)
        self.optimizer = optimizer
        self.seen: list[SeenStep] = []

    @property
    def classifier_optimizer(self) -> Optimizer:
        return self.optimizer

    def step(self, noisy: Batch, clean: Batch) -> dict[str, Tensor]:
        rates = tuple(group["lr"] for group in self.optimizer.param_groups)
        self.seen.append(SeenStep(noisy, clean, rates, self.classifier.training))
        return {"loss": torch.tensor(float(len(self.seen)))}


class Spying(Method):
    """Builds a :class:`Spy` and keeps a reference to it."""

    def __init__(self, pool: Pool = "noisy") -> None:
        self.pool = pool
        self.spy: Spy

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Spy:
        self.spy = Spy(classifier, optimizer(classifier.parameters()))
        return self.spy


class Choosing(SingleLevel):
    """Cross entropy on 100 random noisy examples, from the classifier's initial parameters."""

    def __init__(self) -> None:
        super().__init__(CrossEntropy, NoLatents, clean_weight=1.0)
        self.algorithm: ChoosingSVI

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> SingleLevelSVI:
        self.algorithm = ChoosingSVI(
            classifier, CrossEntropy(1, 1), NoLatents(1, 1), optimizer(classifier.parameters())
        )
        return self.algorithm


class ChoosingSVI(SingleLevelSVI):
    stateful = (*SingleLevelSVI.stateful, "initial")

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts, clean_weight=1.0)
        self.initial = InitialState(self.classifier)
        self.contexts: list[TrainingContext] = []
        self.seen: list[tuple[set[int], set[int]]] = []

    def begin_training(self, context: TrainingContext) -> Tensor:
        self.contexts.append(context)
        self.initial.restore(self.optimizer)
        return context.noisy[torch.randperm(len(context.noisy))[:100]]

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        self.seen.append((set(_positions(noisy)), set(_positions(clean))))
        return super().step(noisy, clean)


def _positions(batch: Batch) -> list[int]:
    assert isinstance(batch.index, Tensor)
    return batch.index.tolist()


def sgd(rate: float) -> OptimizerFactory:
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


def cross_entropy(pool: Pool = "noisy") -> SingleLevel:
    return SingleLevel(CrossEntropy, NoLatents, pool, clean_weight=0.0)

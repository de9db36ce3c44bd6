"""An algorithm that only watches what it is given, and the parts of tiny runs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.algorithm import Algorithm
from vri_pyro.classifier import Classifier
from vri_pyro.guides import NoLatents
from vri_pyro.labelled import Labelled
from vri_pyro.methods import Method, OptimizerFactory, Pool, SingleLevel
from vri_pyro.models import CrossEntropy


class SeenStep(NamedTuple):
    """What one step was given."""

    noisy: Labelled
    clean: Labelled
    rates: tuple[float, ...]
    training_mode: bool


class Spy(Algorithm):
    """Trains nothing, and remembers every step; its loss is the step's number."""

    def __init__(self, classifier: Classifier, optimizer: Optimizer) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped=1)
        self.optimizer = optimizer
        self.seen: list[SeenStep] = []

    @property
    def classifier_optimizer(self) -> Optimizer:
        return self.optimizer

    def step(self, noisy: Labelled, clean: Labelled) -> dict[str, Tensor]:
        rates = tuple(group["lr"] for group in self.optimizer.param_groups)
        self.seen.append(SeenStep(noisy, clean, rates, self.classifier.training))
        return {"loss": torch.tensor(float(len(self.seen)))}


class Spying(Method):
    """Builds a :class:`Spy` and keeps it."""

    def __init__(self, pool: Pool = "noisy") -> None:
        self.pool = pool
        self.spy: Spy

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Spy:
        self.spy = Spy(classifier, optimizer(classifier.parameters()))
        return self.spy


def sgd(rate: float) -> OptimizerFactory:
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


def cross_entropy(pool: Pool = "noisy") -> SingleLevel:
    return SingleLevel(CrossEntropy, NoLatents, pool)

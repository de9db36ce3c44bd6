"""Before training the model's hook comes first, so that the guide may start from what the model has learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext

from .toys import Dense, batch, diagonal_normal, rectification


class Counted(Model):
    """Rectification that learns how many noisy examples there are."""

    examples = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = rectification(Dense().feature_dim)

    def begin_training(self, context: TrainingContext) -> None:
        self.examples = len(context.noisy)

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Any:
        return self.inner(output, y)


class Following(Guide):
    """A diagonal normal that takes over the number from its model."""

    examples = -1

    def __init__(self) -> None:
        super().__init__()
        self.inner = diagonal_normal(Dense().feature_dim)

    def begin_training(self, model: Any, context: TrainingContext) -> None:
        self.examples = model.examples

    def forward(self, output: ClassifierOutput, y: Tensor) -> Any:
        return self.inner(output, y)


def test_guide_finds_what_its_model_has_learned_before_training() -> None:
    classifier, model, guide = Dense(), Counted(), Following()
    optimizer = SGD([*classifier.parameters(), *model.parameters(), *guide.parameters()], lr=0.1)
    clean = batch(5)
    context = TrainingContext.from_tensors(classifier, torch.zeros(11, dtype=torch.int64), clean.x, clean.y)
    SingleLevelSVI(classifier, model, guide, optimizer).begin_training(context)
    assert model.examples == guide.examples == 11

"""A step that is skipped because its gradient is not finite leaves no trace in what model and guide remember."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Adam

from vri_pyro.data.batch import Batch
from vri_pyro.guides import Hierarchical
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import HierarchicalRectification

from .toys import CLASSES, Dense, batch, diagonal_normal, rectification, small_prior

# PyTorch scripts its forward-mode decompositions on their first use, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


class BreaksOnDemand(RectificationELBO):
    """An estimator whose chosen evaluations, counted from 1, are not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0
        self.broken: set[int] = set()

    def terms(self, *args: Any, **kwargs: Any) -> ELBOTerms:
        self.evaluations += 1
        terms = super().terms(*args, **kwargs)
        if self.evaluations in self.broken:
            return replace(terms, log_likelihood=float("nan") * terms.log_likelihood)
        return terms

    def break_in(self, evaluations: int) -> None:
        """Break one evaluation from now on; 1 is the next."""
        self.broken.add(self.evaluations + evaluations)


def _bilevel(model: Model, guide: Guide, elbo: RectificationELBO) -> BilevelSVI:
    classifier = Dense()
    outer = Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    return BilevelSVI(classifier, model, guide, SGD(classifier.parameters(), lr=0.1), outer, elbo=elbo)


def _single_level(model: Model, guide: Guide, elbo: RectificationELBO) -> SingleLevelSVI:
    classifier = Dense()
    parameters = [*classifier.parameters(), *model.parameters(), *guide.parameters()]
    return SingleLevelSVI(classifier, model, guide, SGD(parameters, lr=0.1), elbo=elbo)


Build = Callable[[Model, Guide, RectificationELBO], Algorithm]
# The evaluation of a step at which it breaks: a bi-level step evaluates the bound once for the virtual step and once
# for the real one.
STEPS = {
    "real step of BilevelSVI": (_bilevel, 2),
    "virtual step of BilevelSVI": (_bilevel, 1),
    "SingleLevelSVI": (_single_level, 1),
}
every_step = pytest.mark.parametrize(("build", "evaluation"), STEPS.values(), ids=STEPS.keys())


def _noisy() -> Batch:
    noisy = batch()
    return noisy._replace(index=torch.arange(len(noisy.y)))


@every_step
def test_prediction_memory_and_transition_posterior_move_in_finite_steps_only(build: Build, evaluation: int) -> None:
    width, elbo = Dense().feature_dim, BreaksOnDemand()
    model = HierarchicalRectification(width, CLASSES, prior=small_prior)
    guide = Hierarchical(width, CLASSES, vector=diagonal_normal)
    algorithm, noisy = build(model, guide, elbo), _noisy()

    def remembered() -> list[Tensor]:
        return [model.memory.table.clone(), guide.concentration.clone()]

    algorithm.step(noisy, batch(5))
    before = remembered()
    assert before[0].count_nonzero() > 0

    elbo.break_in(evaluation)
    algorithm.step(noisy, batch(5))
    assert algorithm.skipped == 1
    for value, expected in zip(remembered(), before, strict=True):
        assert torch.equal(value, expected)

    algorithm.step(noisy, batch(5))
    assert algorithm.skipped == 1
    for value, old in zip(remembered(), before, strict=True):
        assert not torch.equal(value, old)


class Counting(Model):
    """Rectification that counts the steps it is told about."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = rectification(Dense().feature_dim)
        self.seen: list[str] = []

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Any:
        return self.inner(output, y)

    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        self.seen.append("model")


class CountingGuide(Guide):
    """A diagonal normal that notes the steps it is told about in its model's list."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = diagonal_normal(Dense().feature_dim)

    def forward(self, output: ClassifierOutput, y: Tensor) -> Any:
        return self.inner(output, y)

    def end_step(self, model: Any, output: ClassifierOutput, y: Tensor) -> None:
        model.seen.append("guide")


@every_step
def test_hooks_are_called_once_in_each_finite_step_the_guides_first(build: Build, evaluation: int) -> None:
    model, elbo = Counting(), BreaksOnDemand()
    algorithm, noisy = build(model, CountingGuide(), elbo), _noisy()
    algorithm.step(noisy, batch(5))
    assert model.seen == ["guide", "model"]
    elbo.break_in(evaluation)
    algorithm.step(noisy, batch(5))
    assert model.seen == ["guide", "model"]
    algorithm.step(noisy, batch(5))
    assert model.seen == ["guide", "model"] * 2

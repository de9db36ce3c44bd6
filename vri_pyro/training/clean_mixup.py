"""Mixup passes over the clean set between the epochs of a method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import BatchPlan, Examples, beta, generator_for, permutation
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class CleanMixup:
    """Trains the classifier on mixtures of clean examples, by its own optimiser, after every so many epochs.

    A batch x, y is mixed with a permutation x′, y′ of itself: λx + (1 − λ)x′ with the loss λ·CE(y) + (1 − λ)·CE(y′)
    and one λ ~ Beta(α, α) a batch.

    Attributes:
        every: epochs of the method from one pass to the next; the first comes after as many.
        alpha: α.
        epochs: times over the clean set in a pass.

    Reference: Zhang et al. (2018), mixup; the passes are those of Sun et al.'s (2025) script.
    """

    every: int = 5
    alpha: float = 0.2
    epochs: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("every", "epochs"):
            if getattr(self, name) < 1:
                raise UserError(f"clean_mixup.{name} is {getattr(self, name)}; give at least 1")
        if not 0 < self.alpha < math.inf:
            raise UserError(f"clean_mixup.alpha is {self.alpha}; give more than 0")

    def due(self, epoch: int) -> bool:
        """Whether a pass follows ``epoch``, from 0."""
        return (epoch + 1) % self.every == 0

    def train(self, learner: Algorithm, examples: Examples, plan: BatchPlan, after_step: Callable[[], None]) -> Tensor:
        """Make one pass.

        Args:
            learner: its classifier is trained.
            examples: what the plan's positions mean.
            plan: batches of the clean set, of a purpose that no other pass has.
            after_step: called after each step.

        Returns:
            the mean loss, [], on the device.
        """
        batches, losses = examples.sequence(plan), []
        steps = self.epochs * max(1, len(plan.pool) // plan.size)
        for step in range(steps):
            batch, generator = batches(step), generator_for(plan.seed, plan.purpose, "mixture", step)
            weight = beta(generator, self.alpha, self.alpha, 1).item()
            other = torch.from_numpy(permutation(generator, len(batch.y))).to(batch.y.device)
            losses.append(_mixed_step(learner, batch.x, batch.y, other, weight))
            after_step()
        return torch.stack(losses).mean()


def _mixed_step(learner: Algorithm, x: Tensor, y: Tensor, other: Tensor, weight: float) -> Tensor:
    def loss(logits: Tensor) -> Tensor:
        return weight * F.cross_entropy(logits, y) + (1 - weight) * F.cross_entropy(logits, y[other])

    return learner.supervised_step(weight * x + (1 - weight) * x[other], loss)

"""Mixup training passes over the clean set between the epochs of a method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import BatchPlan, Examples, beta, generator_for, permutation
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.utils.joined import joined
from vri_pyro.utils.numbers import check_integer, check_number


@dataclass(frozen=True)
class CleanMixup:
    """Trains the classifier with mixup on the clean set, once every few epochs of the method.

    A pass uses the classifier's own optimiser. It mixes each batch x, y with a permutation x′, y′ of itself: the inputs
    are λx + (1 − λ)x′, the loss is λ·CE(y) + (1 − λ)·CE(y′), and each batch has one λ ~ Beta(α, α).

    Attributes:
        every: number of epochs of the method between two passes, and before the first pass.
        alpha: α of Beta(α, α).
        epochs: number of epochs over the clean set per pass.

    Raises:
        UserError: a value is out of range.

    Reference: Zhang et al. (2018), mixup; the passes are scheduled as in the script of Sun et al. (2025).
    """

    every: int = 5
    alpha: float = 0.2
    epochs: int = 1

    def __post_init__(self) -> None:
        """Check the ranges of the values."""
        for name in ("every", "epochs"):
            check_integer(f"clean_mixup.{name}", getattr(self, name), 1)
        check_number("clean_mixup.alpha", self.alpha, above=0)

    def due(self, epoch: int) -> bool:
        """Return whether a pass follows ``epoch``, counted from 0."""
        return (epoch + 1) % self.every == 0

    def train(
        self, algorithm: Algorithm, examples: Examples, plan: BatchPlan, after_step: Callable[[], None]
    ) -> Tensor:
        """Run one pass.

        Args:
            algorithm: the algorithm whose classifier is trained.
            examples: the examples that the positions of the plan refer to.
            plan: batches of the clean set, with a purpose that is unique to the pass.
            after_step: called after each step.

        Returns:
            mean loss over the steps, [], on the device of the data.
        """
        batches, losses = examples.sequence(plan), []
        steps = self.epochs * max(1, len(plan.pool) // plan.size)
        for step in range(steps):
            batch, generator = batches(step), generator_for(plan.seed, plan.purpose, "mixture", step)
            weight = beta(generator, self.alpha, self.alpha, 1).item()
            other = torch.from_numpy(permutation(generator, len(batch.y))).to(batch.y.device)
            losses.append(_mixed_step(algorithm, joined(batch.x, len(batch.y)), batch.y, other, weight))
            after_step()
        return torch.stack(losses).mean()


def _mixed_step(algorithm: Algorithm, x: Tensor, y: Tensor, other: Tensor, weight: float) -> Tensor:
    def loss(logits: Tensor) -> Tensor:
        return weight * F.cross_entropy(logits, y) + (1 - weight) * F.cross_entropy(logits, y[other])

    return algorithm.supervised_step(weight * x + (1 - weight) * x[other], loss)

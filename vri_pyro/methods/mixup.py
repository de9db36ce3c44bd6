"""mixup: trains the classifier on convex combinations of pairs of examples."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Beta
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.joined import joined, own_rows
from vri_pyro.utils.numbers import check_number


class MixupDescent(Descent):
    """Minimises λ·CE(F(x̃), y_i) + (1 − λ)·CE(F(x̃), y_j) at x̃ = λ x_i + (1 − λ) x_j,  λ ~ Beta(α, α).

    Each batch has one λ and one permutation j of its examples. The mixed loss equals the cross entropy against the
    mixed one-hot labels.

    Args:
        classifier, optimizer: see :class:`Descent`.
        alpha: α; larger values concentrate λ around 1/2.
        clean_weight, max_skipped: see :class:`Descent`.

    Raises:
        UserError: α is not positive.

    Reference: Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        alpha: float = 1.0,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        check_number("alpha", alpha, above=0, remedy="; use cross entropy for training without mixup")
        self.alpha = alpha

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used, without mixing, if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.
        """
        share = Beta(self.alpha, self.alpha).sample().to(noisy.x)
        partner = torch.randperm(len(noisy.y), device=noisy.x.device)
        x = joined(noisy.x, len(noisy.y))
        mixed = own_rows(share * x + (1 - share) * x[partner])
        forward = ReplayedForward(self.classifier, mixed, count=len(noisy.y))
        logits = forward(self.weights).logits
        own, others = F.cross_entropy(logits, noisy.y), F.cross_entropy(logits, noisy.y[partner])
        return self.learn(forward, share * own + (1 - share) * others, clean)[0]


class Mixup(Method):
    """mixup: trains on convex combinations of pairs of examples and of their losses.

    Builds a :class:`MixupDescent`.

    Args:
        alpha: α of Beta(α, α); the paper uses 1 for CIFAR, and 8 to 32 with noisy labels.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of the cross entropy of a clean batch, added to the loss; 0 in the paper.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    def __init__(
        self, alpha: float = 1.0, pool: Pool = "noisy", clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        self.pool = pool
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {"alpha": alpha, "clean_weight": clean_weight, "max_skipped": max_skipped}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> MixupDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return MixupDescent(classifier, optimizer(classifier.parameters()), **self.options)

"""Early-learning regularisation (ELR): pulls predictions towards a running mean of earlier predictions."""

from __future__ import annotations

from typing import Any, ClassVar

from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, check_not_negative
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.prediction_memory import PredictionMemory
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.errors import UserError

_LEAST = 1e-4  # the authors' code clips probabilities to [1e-4, 1 - 1e-4]


class ELRDescent(Descent):
    """Minimises CE(F(x), y) + λ log(1 − ⟨p(x), t⟩), with t the running mean of the predictions p of the example.

    In the regulariser, p = softmax(F(x)) is clipped to [10⁻⁴, 1 − 10⁻⁴]. A probability outside has no gradient there,
    so the regulariser does not act on a certain prediction. The targets start at 0. Each step updates them with the
    clipped probabilities, divided by their sum, t ← βt + (1 − β) p / Σp, before it uses them in the loss as constants.
    The clipping is that of the authors' code since its first release, in the week of the paper's.

    Args:
        classifier, optimizer: see :class:`Descent`.
        elr_weight: λ, weight of the regulariser.
        momentum: β, momentum of the running mean, in [0, 1).
        clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        memory: the targets t of all examples. Saved in the state dict.

    Raises:
        UserError: λ is negative, or β is not in [0, 1).

    Reference: Liu et al., Early-learning regularization prevents memorization of noisy labels, NeurIPS 2020.
    """

    stateful: ClassVar[tuple[str, ...]] = (*Descent.stateful, "memory")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        elr_weight: float = 3.0,
        momentum: float = 0.7,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        check_not_negative(elr_weight=elr_weight)
        self.elr_weight, self.memory = elr_weight, PredictionMemory(classifier.num_classes, momentum)

    def begin_training(self, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        self.memory.reserve(len(context.labels))

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``regulariser`` (without the factor λ), ``gradient_norm``.
            If a value is non-finite, the step changes neither the classifier nor the targets.

        Raises:
            UserError: the noisy batch has no index.
        """
        if noisy.index is None:
            raise UserError("the noisy batch has no index, but ELR stores a target per example; set its index")
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        logits = forward(self.weights).logits
        clipped = logits.softmax(-1).clamp(_LEAST, 1 - _LEAST)
        targets = self.memory.moved_towards(clipped / clipped.sum(-1, keepdim=True), noisy.index)
        regulariser = (1 - (clipped * targets).sum(-1)).log().mean()
        loss = F.cross_entropy(logits, noisy.y) + self.elr_weight * regulariser
        metrics, moved = self.learn(forward, loss, clean)
        if moved:
            self.memory.keep(noisy.index, targets)
        return metrics | {"regulariser": regulariser.detach()}


class ELR(Method):
    """Early-learning regularisation (ELR): pulls predictions towards their running mean.

    Builds an :class:`ELRDescent`.

    Args:
        elr_weight: λ, weight of the regulariser; the paper uses 3 for CIFAR-10 and 7 for CIFAR-100.
        momentum: β, momentum of the running mean; the paper uses 0.7 for CIFAR-10 and 0.9 for CIFAR-100.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of the cross entropy of a clean batch, added to the loss; 0 in the paper.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    def __init__(
        self,
        elr_weight: float = 3.0,
        momentum: float = 0.7,
        pool: Pool = "noisy",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        self.pool = pool
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {
            "elr_weight": elr_weight,
            "momentum": momentum,
            "clean_weight": clean_weight,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> ELRDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return ELRDescent(classifier, optimizer(classifier.parameters()), **self.options)

"""ELR: what the classifier said early of an example keeps it from learning the example's wrong label later."""

from __future__ import annotations

from typing import Any, ClassVar

from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, check_not_negative
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.prediction_memory import PredictionMemory, early_learning_regulariser
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.errors import UserError


class ELRDescent(Descent):
    """Minimises CE(F(x), y) + λ log(1 − ⟨p(x), t⟩), where the target t is a running mean of the example's p.

    Targets begin at 0 and move before they are used: t ← βt + (1 − β)p, as a constant.

    Args:
        classifier, optimizer: see :class:`Descent`.
        elr_weight: λ.
        momentum: β, in [0, 1).
        clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        memory: t of every example.

    Raises:
        UserError: λ is negative, or β not in [0, 1).

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
        """Take one step; ``clean`` is used with a ``clean_weight`` only.

        Returns:
            scalars on the batch's device: ``loss``, ``regulariser`` (before λ), ``gradient_norm``. Where something is
            not finite, neither classifier nor targets change.

        Raises:
            UserError: the batch does not say which examples it holds.
        """
        if noisy.index is None:
            raise UserError("ELR remembers a target of each example; give the noisy batch its index")
        forward = ReplayedForward(self.classifier, noisy.x)
        logits = forward(self.weights).logits
        targets = self.memory.moved(logits, noisy.index)
        regulariser = early_learning_regulariser(logits, targets).mean()
        loss = F.cross_entropy(logits, noisy.y) + self.elr_weight * regulariser
        metrics, moved = self.learn(forward, loss, clean)
        if moved:
            self.memory.keep(noisy.index, targets)
        return metrics | {"regulariser": regulariser.detach()}


class ELR(Method):
    """Early-learning regularisation: a pull towards what the classifier said early of each example.

    See :class:`ELRDescent`.

    Args:
        elr_weight: λ; 3 in the paper for CIFAR-10, 7 for CIFAR-100.
        momentum: β of the targets; 0.7 in the paper for CIFAR-10, 0.9 for CIFAR-100.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of a clean batch's cross entropy, added to the loss; 0 in the paper.
        max_skipped: non-finite steps in a row before the training stops.
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

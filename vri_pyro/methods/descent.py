"""What the peers without latents have in common: the classifier alone moves, along the gradient of a loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, Algorithm, check_held, check_not_negative
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier


class Descent(Algorithm):
    """Trains the classifier by a loss of the noisy batch, which a subclass's :meth:`step` writes down.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        optimizer: of all its parameters.
        clean_weight: weight of a clean batch's cross entropy, added to the loss.
        max_skipped: how many steps in a row may be skipped for not being finite.
    """

    stateful: ClassVar[tuple[str, ...]] = ("classifier", "optimizer", "guard")

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped)  # nothing to infer
        check_not_negative(clean_weight=clean_weight)
        check_held(optimizer, parameters_of(classifier), "optimiser")
        self.optimizer, self.clean_weight = optimizer, clean_weight
        self.weights = list(parameters_of(classifier).values())

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return self.optimizer

    def learn(self, forward: ReplayedForward, loss: Tensor, clean: Batch) -> tuple[Metrics, bool]:
        """Descend the loss of the noisy batch, and with a ``clean_weight`` that of the clean batch besides.

        Args:
            forward: the forward pass behind the loss.
            loss: of the noisy batch, [].
            clean: a batch with trusted labels.

        Returns:
            see :meth:`~vri_pyro.infer.algorithm.Algorithm.descend`.
        """
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(parameters_of(self.classifier), clean)
        return self.descend(forward, loss)

"""Base class of algorithms without latent variables, which train only the classifier by gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, Algorithm, check_held, check_not_negative
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier


class Descent(Algorithm):
    """Base class of algorithms that train only the classifier, on a loss that the subclass computes in :meth:`step`.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        optimizer: optimiser of all parameters of the classifier.
        clean_weight: weight of the cross entropy of a clean batch, added to the loss.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: ``clean_weight`` is negative, or the optimiser lacks parameters of the classifier.
    """

    stateful: ClassVar[tuple[str, ...]] = ("classifier", "optimizer", "guard")

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped)  # no latent variables
        check_not_negative(clean_weight=clean_weight)
        check_held(optimizer, parameters_of(classifier), "optimiser")
        self.optimizer, self.clean_weight = optimizer, clean_weight
        self.weights = list(parameters_of(classifier).values())

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return self.optimizer

    def learn(
        self, forward: ReplayedForward, loss: Tensor, clean: Batch, parameters: Sequence[Tensor] | None = None
    ) -> tuple[Metrics, bool]:
        """Update the classifier on the loss of the noisy batch plus ``clean_weight`` times the clean cross entropy.

        Args:
            forward: the forward pass that computed the loss.
            loss: loss of the noisy batch, [].
            clean: a batch with clean labels.
            parameters: the parameters to update; by default, all trainable ones of the classifier.

        Returns:
            see :meth:`~vri_pyro.infer.algorithm.Algorithm.descend`.
        """
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(clean)
        return self.descend(forward, loss, parameters)

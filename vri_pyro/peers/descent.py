"""What the peers without latents have in common: the classifier alone moves, along the gradient of a loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, autograd, nn
from torch.optim import Optimizer

from vri_pyro.algorithm import Algorithm, check_held, check_not_negative, finite_norm
from vri_pyro.classifier import Classifier, ReplayedForward, commit_buffers, parameters_of
from vri_pyro.labelled import Labelled
from vri_pyro.metrics import Metrics
from vri_pyro.optimisation import apply_gradients


class Descent(Algorithm):
    """Trains the classifier by a loss of the noisy batch, which a subclass's :meth:`step` writes down.

    Args:
        classifier: returns a :class:`~vri_pyro.classifier.ClassifierOutput`.
        optimizer: of all its parameters.
        clean_weight: weight of a clean batch's cross entropy, added to the loss.
        max_skipped: how many steps in a row may be skipped for not being finite.
    """

    stateful: ClassVar[tuple[str, ...]] = ("classifier", "optimizer", "guard")

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, clean_weight: float = 0.0, max_skipped: int = 10
    ) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped)  # nothing to infer
        check_not_negative(clean_weight=clean_weight)
        check_held(optimizer, parameters_of(classifier), "optimiser")
        self.optimizer, self.clean_weight = optimizer, clean_weight
        self.weights = list(parameters_of(classifier).values())

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.algorithm.Algorithm`."""
        return self.optimizer

    def descend(self, forward: ReplayedForward, loss: Tensor, clean: Labelled) -> tuple[Metrics, bool]:
        """Move the classifier along the gradient of ``loss``, unless something is not finite.

        Args:
            forward: the forward pass behind the loss.
            loss: of the noisy batch, [].
            clean: a batch with trusted labels, used with a ``clean_weight`` only.

        Returns:
            the scalars ``loss`` and ``gradient_norm``, and whether the classifier moved.

        Raises:
            NonFiniteError: after ``max_skipped`` steps in a row that were not finite.
        """
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(parameters_of(self.classifier), clean)
        gradients = autograd.grad(loss, self.weights, allow_unused=True)
        metrics = {"loss": loss.detach(), "gradient_norm": finite_norm(gradients, like=loss)}
        buffers = {"buffers": finite_norm(forward.buffers.values(), like=loss)}
        moved = self.guard.admits(metrics | buffers, ("loss", "gradient_norm", "buffers"))
        if moved:
            apply_gradients(self.optimizer, self.weights, gradients)
            commit_buffers(self.classifier, forward.buffers)
            self.guard.step_completed()
        return metrics, moved

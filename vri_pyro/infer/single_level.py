"""Ordinary stochastic variational inference: classifier, model and guide trained together on one batch's ELBO."""

from __future__ import annotations

from torch import autograd, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import (
    CLEAN_WEIGHT,
    Algorithm,
    check_held,
    check_not_negative,
    finite_norm,
    hyperparameters_of,
)
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.functional import ReplayedForward, commit_buffers, parameters_of
from vri_pyro.infer.metrics import Metrics, term_metrics
from vri_pyro.infer.virtual_step import apply_gradients
from vri_pyro.interfaces.classifier import Classifier


class SingleLevelSVI(Algorithm):
    """Minimises the negative ELBO of one batch over classifier, model and guide at once.

    With :class:`vri_pyro.models.CrossEntropy` and :class:`vri_pyro.guides.NoLatents` this is training by cross
    entropy; with any other pair it is the amortised inference that the bi-level step departs from.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: Pyro callables ``(output, y)``.
        optimizer: of all parameters of classifier, model and guide.
        elbo: the estimator; its ``kl_weight`` is the weight of the KL.
        clean_weight: weight of a clean batch's cross entropy, added to the loss.
        max_skipped: how many steps in a row may be skipped for not being finite.
    """

    stateful = ("classifier", "model", "guide", "optimizer", "guard")

    def __init__(
        self,
        classifier: Classifier,
        model: nn.Module,
        guide: nn.Module,
        optimizer: Optimizer,
        *,
        elbo: RectificationELBO | None = None,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, model, guide, max_skipped)
        self.optimizer = optimizer
        self.elbo = RectificationELBO() if elbo is None else elbo
        self.clean_weight = clean_weight
        check_not_negative(clean_weight=clean_weight, kl_weight=self.elbo.kl_weight)
        check_held(optimizer, parameters_of(classifier) | hyperparameters_of(model, guide), "optimiser")
        self._weights = list(parameters_of(classifier).values())
        self._all = [*self._weights, *hyperparameters_of(model, guide).values()]

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return self.optimizer

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is used with a ``clean_weight`` only.

        Returns:
            scalars on the batch's device: ``loss``, ``kl``, ``gradient_norm``, and the latent sites' statistics.
        """
        forward = ReplayedForward(self.classifier, noisy.x, noisy.index)
        output = forward(self._weights)
        terms = self.elbo.terms(self.model, self.guide, output, noisy.y)
        self.check_first_terms()
        loss = terms.loss(self.elbo.kl_weight)
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(parameters_of(self.classifier), clean)
        gradients = autograd.grad(loss, self._all, allow_unused=True)
        norm = finite_norm(gradients, like=loss)
        metrics = term_metrics(terms) | {"loss": loss.detach(), "gradient_norm": norm}
        buffers = {"buffers": finite_norm(forward.buffers.values(), like=loss)}
        if self.guard.admits(metrics | buffers, ("loss", "gradient_norm", "buffers")):
            apply_gradients(self.optimizer, self._all, gradients)
            commit_buffers(self.classifier, forward.buffers)
            self.end_step(output, noisy.y)
            self.guard.step_completed()
        return metrics

"""Single-level stochastic variational inference: classifier, model and guide are trained together on the ELBO."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch, check_batch
from vri_pyro.infer.algorithm import (
    CLEAN_WEIGHT,
    Algorithm,
    check_held,
    check_not_negative,
    hyperparameters_of,
)
from vri_pyro.infer.elbo import RectificationELBO, check_elbo
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.metrics import Metrics, term_metrics
from vri_pyro.interfaces.classifier import Classifier


class SingleLevelSVI(Algorithm):
    """Trains classifier, model and guide jointly on the negative ELBO of the noisy batch.

    With :class:`vri_pyro.models.CrossEntropy` and :class:`vri_pyro.guides.NoLatents` this is training by cross
    entropy. With any other pair it is standard amortised variational inference, without the bi-level structure of
    :class:`~vri_pyro.infer.bilevel.BilevelSVI`.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: Pyro callables ``(output, y)``.
        optimizer: optimiser of all parameters of classifier, model and guide.
        elbo: the ELBO estimator; its ``kl_weight`` weights the KL in the loss. Default: one particle.
        clean_weight: weight of the cross entropy of a clean batch, which is added to the loss.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: a weight is negative, or the optimiser lacks parameters.
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
        check_elbo(elbo)
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
        """Take one step; ``clean`` is used only if ``clean_weight`` is not 0.

        Args:
            noisy: a batch with noisy labels.
            clean: a batch with clean labels.

        Returns:
            scalar metrics on the device of the batch: ``loss``, ``gradient_norm``, ``kl`` in nats per example, and the
            statistics of the latent sites (:func:`~vri_pyro.infer.metrics.term_metrics`).

        Raises:
            NonFiniteError: after ``max_skipped`` consecutive non-finite steps.
        """
        check_batch("noisy", noisy, getattr(self.classifier, "num_classes", None))
        if self.clean_weight:
            check_batch("clean", clean, getattr(self.classifier, "num_classes", None))
        forward = ReplayedForward(self.classifier, noisy.x, noisy.index, len(noisy.y))
        output = forward(self._weights)
        terms = self.elbo.terms(self.model, self.guide, output, noisy.y)
        self.check_first_terms()
        loss = terms.loss(self.elbo.kl_weight)
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(clean)
        metrics, moved = self.descend(forward, loss, self._all)
        if moved:
            self.end_step(output, noisy.y)
        return term_metrics(terms) | metrics

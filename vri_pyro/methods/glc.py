"""Gold loss correction (GLC): corrects the noisy loss with a transition matrix estimated on the clean set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import estimate_with_pairs, glc_estimate
from vri_pyro.methods.base import (
    Method,
    OptimizerFactory,
    Pool,
    Stage,
)
from vri_pyro.methods.cross_entropy import NoisyCrossEntropy
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.errors import UserError


class GLCDescent(Descent):
    """Minimises −log(softmax(F(x))ᵀ T̂)_y for noisy examples and −log softmax(F(x))_y for clean ones.

    When training begins, it estimates T̂ with the classifier that an earlier stage trained on the noisy labels (see
    :func:`~vri_pyro.interfaces.transition_likelihood.glc_estimate`). Verified pairs, which are observed labels and not
    predictions, correct T̂ (:func:`~vri_pyro.interfaces.transition_likelihood.estimate_with_pairs`). It then restores
    the classifier's initial parameters.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        transition: T̂, [K, K]; the identity until it is estimated. Saved in the state dict.
        trusted: positions of the clean examples, int64 [m]. Saved in the state dict.

    Reference: Hendrycks et al., Using trusted data to train deep networks on labels corrupted by severe noise,
        NeurIPS 2018.
    """

    stateful = (*Descent.stateful, "initial")

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        self.initial = InitialState(classifier)
        like, classes = self.weights[0], classifier.num_classes
        self.transition = torch.eye(classes, dtype=like.dtype, device=like.device)
        self.trusted = torch.zeros(0, dtype=torch.int64, device=like.device)

    def begin_training(self, context: TrainingContext) -> None:
        """Estimate T̂ and restart the classifier."""
        sample = context.clean_sample
        self.transition = glc_estimate(context.predict(sample), context.labels_at(sample))
        if context.pair_counts is not None:
            self.transition = estimate_with_pairs(self.transition, context.pair_counts)
        self.trusted = context.clean.to(self.trusted.device)
        self.initial.restore(self.optimizer)

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step on a batch of noisy and clean examples.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.

        Raises:
            UserError: the batch has no index.
        """
        if noisy.index is None:
            raise UserError("the batch has no index, which GLC needs to identify the clean examples; set its index")
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        logits = forward(self.weights).logits
        is_clean = torch.isin(noisy.index, self.trusted)
        as_given = GivenLabel(logits, self.transition).log_prob(noisy.y)
        losses = torch.where(is_clean, F.cross_entropy(logits, noisy.y, reduction="none"), -as_given)
        return self.learn(forward, losses.mean(), clean)[0]

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"transition": self.transition, "trusted": self.trusted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        device = self.transition.device
        self.transition, self.trusted = state["transition"].to(device), state["trusted"].to(device)


class GLC(Method):
    """Gold loss correction (GLC): corrects the noisy loss with an estimated transition matrix.

    The first stage trains with cross entropy on the noisy labels alone. The second stage, :class:`GLCDescent`, trains
    from the initial parameters; its batches mix noisy and clean examples, as in the paper.

    Args:
        estimation_epochs: number of epochs of the first stage; null for the number of the second, as in the paper.
        clean_weight: weight of the cross entropy of an additional clean batch in the second stage; 0 in the paper. It
            does not apply to the first stage: the predictions of a classifier that has fitted the clean labels do not
            show how labels are corrupted.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy_and_clean"
    models_noise = True

    def __init__(
        self, estimation_epochs: int | None = None, clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        self.estimation_epochs = estimation_epochs
        self.clean_weight, self.max_skipped = clean_weight, max_skipped

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`~vri_pyro.methods.Method`."""
        first = NoisyCrossEntropy(self.max_skipped)
        epochs = stage.epochs if self.estimation_epochs is None else self.estimation_epochs
        return {"estimation": replace(stage, method=first, epochs=epochs), name: stage}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> GLCDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return GLCDescent(
            classifier,
            optimizer(classifier.parameters()),
            clean_weight=self.clean_weight,
            max_skipped=self.max_skipped,
        )

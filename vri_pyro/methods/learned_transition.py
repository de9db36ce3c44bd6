"""Cross entropy through a transition matrix that is learned along with the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, check_not_negative
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.prediction_memory import PredictionMemory, early_learning_regulariser
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import glc_estimate, predicted_counts, updated_concentration
from vri_pyro.methods.base import Method, OptimizerFactory, Pool, Stage
from vri_pyro.methods.cross_entropy import NoisyCrossEntropy
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.numbers import check_number


class LearnedTransitionDescent(Descent):
    """Minimises −log(softmax(F(x))ᵀ T)_y + λ log(1 − ⟨p, t⟩), where T is the posterior mean of the transition matrix.

    The last term is the regulariser of ELR: p = softmax(F(x)), and t is the running mean of the predictions of the
    example. It is omitted if the batch has no index.

    The rows of T have Dirichlet posteriors. After each step, their concentrations move a fraction ρ of the way to those
    that would be optimal if all data were like the batch: those of the prior, plus the expected counts of (true, given)
    labels. The prior is GLC's estimate on the clean examples, with the classifier that an earlier stage trained on the
    noisy labels. The estimate of a class counts as many labels as the class has clean examples, at least one and at
    most s; a class without clean examples counts as one label that is right.
    Verified pairs are observed labels of a known class: they are added to the prior as counts.

    The posterior starts at the prior plus the counts of (predicted class, given label), with the predictions of the
    same classifier, which then restarts. Near the identity it would stay there; see
    :class:`vri_pyro.guides.Hierarchical`.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`Descent`.
        prior_strength: s, above 0.
        rate: ρ, in (0, 1].
        elr_weight: λ, weight of the regulariser.
        momentum: momentum of the running mean of the predictions, in [0, 1).

    Attributes:
        concentration: concentrations of q(T), [K, K]. Saved in the state dict.
        memory: the running means t of all examples. Saved in the state dict.

    Reference: forward correction: Patrini et al., CVPR 2017; updates of T: Hoffman et al., Stochastic variational
        inference, JMLR 2013, eq. 33-34, with a constant step size; regulariser: Liu et al., Early-learning
        regularization prevents memorization of noisy labels, NeurIPS 2020.

    Raises:
        UserError: an option is out of range.
    """

    stateful = (*Descent.stateful, "initial", "memory")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        prior_strength: float = 10.0,
        rate: float = 0.02,
        elr_weight: float = 0.0,
        momentum: float = 0.9,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        check_number("prior_strength", prior_strength, above=0, remedy=", such as 10")
        check_number("rate", rate, above=0, at_most=1, remedy=", such as 0.02")
        check_not_negative(elr_weight=elr_weight)
        self.elr_weight, self.memory = elr_weight, PredictionMemory(classifier.num_classes, momentum)
        like, classes = self.weights[0], classifier.num_classes
        self.prior_strength, self.initial = prior_strength, InitialState(classifier)
        self.prior = torch.eye(classes, dtype=like.dtype, device=like.device) + 1 / classes
        self.concentration, self.rate, self.size = self.prior.clone(), rate, 0

    @property
    def transition(self) -> Tensor:
        """Posterior mean of T, [K, K]."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    def begin_training(self, context: TrainingContext) -> None:
        """Estimate prior and start of q(T), and restart the classifier."""
        self.memory.reserve(len(context.labels))
        self.size, sample = len(context.noisy), context.clean_sample
        if context.trained and len(sample):
            y = context.labels_at(sample)
            counts = y.bincount(minlength=len(self.prior)).clamp(1, self.prior_strength).unsqueeze(-1)
            self.prior = counts * glc_estimate(context.predict(sample), y) + 1 / len(self.prior)
        self.prior = context.with_pairs(self.prior)
        self.concentration = self.prior.clone()
        if context.trained:
            noisy = context.noisy
            self.concentration += predicted_counts(context.predict(noisy), context.labels_at(noisy))
            self.initial.restore(self.optimizer)

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        logits = forward(self.weights).logits
        loss = -GivenLabel(logits, self.transition).log_prob(noisy.y).mean()
        if noisy.index is not None:
            targets = self.memory.moved(logits, noisy.index)
            loss = loss + self.elr_weight * early_learning_regulariser(logits, targets).mean()
        metrics, moved = self.learn(forward, loss, clean)
        if moved:
            if noisy.index is not None:
                self.memory.keep(noisy.index, targets)
            weight = max(self.size, len(noisy.y)) / len(noisy.y)
            self.concentration = updated_concentration(
                self.concentration, self.prior, logits.detach(), noisy.y, weight, self.rate
            )
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"concentration": self.concentration, "prior": self.prior, "size": self.size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        device, self.size = self.prior.device, state["size"]
        self.concentration, self.prior = state["concentration"].to(device), state["prior"].to(device)


class LearnedTransition(Method):
    """Cross entropy through a transition matrix that is learned along with the classifier.

    The first stage trains with cross entropy on the noisy labels, the second from the initial parameters again. No
    label has to be known to be right, but such labels help, in the prior of T and as a clean batch in every step.

    Builds a :class:`LearnedTransitionDescent`.

    Args:
        prior_strength, rate, elr_weight, momentum: see :class:`LearnedTransitionDescent`.
        estimation_share: length of the stage that trains on the noisy labels alone, as a fraction of the main stage; at
            least one epoch.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of the cross entropy of a clean batch, added to the loss.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    models_noise = True

    def __init__(
        self,
        prior_strength: float = 10.0,
        rate: float = 0.02,
        elr_weight: float = 0.0,
        momentum: float = 0.9,
        estimation_share: float = 0.33,
        pool: Pool = "noisy",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        check_number("estimation_share", estimation_share, above=0, remedy=", such as 0.33")
        self.pool, self.estimation_share = pool, estimation_share
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {
            "prior_strength": prior_strength,
            "rate": rate,
            "elr_weight": elr_weight,
            "momentum": momentum,
            "clean_weight": clean_weight,
            "max_skipped": max_skipped,
        }

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`Method`."""
        epochs = None if stage.epochs is None else max(1, round(self.estimation_share * stage.epochs))
        first = NoisyCrossEntropy(self.options["max_skipped"])
        return {"estimation": replace(stage, method=first, epochs=epochs), name: stage}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> LearnedTransitionDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return LearnedTransitionDescent(classifier, optimizer(classifier.parameters()), **self.options)

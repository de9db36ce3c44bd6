"""DivideMix: two networks divide the data for each other and train on the parts by semi-supervised learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, Algorithm, check_not_negative
from vri_pyro.infer.functional import ReplayedForward, classifier_output
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier, evaluating
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool, Stage
from vri_pyro.methods.descent import Descent
from vri_pyro.methods.views import both_views
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import joined, own_rows
from vri_pyro.utils.loss_mixture import low_loss_probability
from vri_pyro.utils.numbers import check_integer, check_number

_TWO_NETWORKS = "DivideMix trains two networks, which divide the data for each other; set networks to 2"


class PenalisedDescent(Descent):
    """Minimises CE(F(x), y) − γ H(p(x)), the cross entropy with a reward for the entropy H of the prediction p.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`Descent`.
        confidence_penalty: γ.

    Reference: Pereyra et al., Regularizing neural networks by penalizing confident output distributions, 2017.
    """

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, confidence_penalty: float, **options: Any
    ) -> None:
        super().__init__(classifier, optimizer, **options)
        self.confidence_penalty = confidence_penalty

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        log_p = forward(self.weights).logits.log_softmax(-1)
        negative_entropy = (log_p.exp() * log_p).sum(-1).mean()
        return self.learn(forward, F.nll_loss(log_p, noisy.y) + self.confidence_penalty * negative_entropy, clean)[0]


class DivideMixDescent(Descent):
    """Trains one of two networks by MixMatch, on the parts of the data that the other network has divided.

    At the start of every epoch, the network fits a mixture of two normal distributions to its losses of all examples.
    The probability w of the low-loss component is the probability that a label is right. The other network treats the
    examples with w > τ as labelled. In a step, the target of a labelled example is w y + (1 − w) p, sharpened, with p
    the mean prediction of the network for two views. The target of an unlabelled example is the mean prediction of both
    networks for two views, sharpened. Inputs and targets of both views are then mixed as in mixup, and the loss is

        CE of the labelled  +  λ · r · mean squared error of the unlabelled  +  KL[uniform ‖ mean prediction],

    with r rising from 0 to 1 over the first epochs.

    Args:
        classifier, optimizer: see :class:`Descent`.
        alpha: α of the Beta distribution of mixup.
        temperature: T; a target p becomes proportional to p^(1/T).
        threshold: τ.
        unlabelled_weight: λ.
        ramp_epochs: number of epochs until r is 1.
        clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        peer: the algorithm of the other network.
        right: w by position of the example, [N]; 1 for clean examples. Saved in the state dict.
        epoch: number of epochs begun. Saved in the state dict.

    Raises:
        UserError: an option is out of range.

    Reference: Li et al., DivideMix: learning with noisy labels as semi-supervised learning, ICLR 2020, algorithm 1.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        alpha: float = 4.0,
        temperature: float = 0.5,
        threshold: float = 0.5,
        unlabelled_weight: float = 25.0,
        ramp_epochs: int = 16,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        check_number("alpha", alpha, above=0)
        check_number("temperature", temperature, above=0)
        check_number("threshold", threshold, at_least=0, below=1)
        check_not_negative(unlabelled_weight=unlabelled_weight)
        check_integer("ramp_epochs", ramp_epochs, 1)
        self.alpha, self.temperature, self.threshold = alpha, temperature, threshold
        self.unlabelled_weight, self.ramp_epochs = unlabelled_weight, ramp_epochs
        self.peer: DivideMixDescent | None = None
        self.right, self.epoch = self.weights[0].new_zeros(0), 0

    def introduce(self, members: Sequence[Algorithm]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`.

        Raises:
            UserError: there are not two networks.
        """
        others = [member for member in members if member is not self]
        if len(others) != 1 or not isinstance(others[0], DivideMixDescent):
            raise UserError(f"{_TWO_NETWORKS}, not {len(members)}")
        self.peer = others[0]

    def check(self, noisy: Batch, clean: Batch) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`.

        Raises:
            UserError: there is no second network.
        """
        self._other()
        super().check(noisy, clean)

    def begin_epoch(self, context: TrainingContext) -> None:
        """Divide the data: fit the mixture to the losses of this network."""
        own = replace(context, classifier=self.classifier)
        noisy = context.noisy[~torch.isin(context.noisy, context.clean)]
        losses = F.cross_entropy(own.predict(noisy), own.labels_at(noisy).to(self.weights[0].device), reduction="none")
        found = torch.from_numpy(low_loss_probability(losses.double().cpu().numpy()))
        right = torch.zeros(len(context.labels), dtype=found.dtype)
        right[noisy], right[context.clean] = found, 1.0
        self.right = right.to(self.weights[0])
        self.epoch += 1

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``, ``labelled``, the fraction of labelled
            examples, and ``unlabelled_loss``, the mean squared error of the others.

        Raises:
            UserError: there is no second network, the data are not divided, or the batch has no index.
        """
        x, target, labelled = both_views(noisy), *self._targets(noisy)
        share = Beta(self.alpha, self.alpha).sample()
        share = torch.maximum(share, 1 - share).to(x)
        partner = torch.randperm(len(x), device=x.device)
        mixed, mixed_target = (share * part + (1 - share) * part[partner] for part in (x, target.repeat(2, 1)))
        forward = ReplayedForward(self.classifier, own_rows(mixed), count=len(x))
        log_p = forward(self.weights).logits.log_softmax(-1)
        p, both = log_p.exp(), labelled.repeat(2)
        supervised = _mean(-(mixed_target * log_p).sum(-1), both)
        unsupervised = _mean((p - mixed_target).square().mean(-1), 1 - both)
        classes = p.shape[-1]
        imbalance = -(classes * p.mean(0)).log().mean()  # KL from the uniform distribution
        loss = supervised + self._unlabelled_weight() * unsupervised + imbalance
        metrics, _ = self.learn(forward, loss, clean)
        return metrics | {"labelled": labelled.mean(), "unlabelled_loss": unsupervised.detach()}

    @torch.no_grad()
    def _targets(self, noisy: Batch) -> tuple[Tensor, Tensor]:
        """Sharpened targets [batch, K], and whether each example is labelled, as the number 1 or 0, [batch]."""
        peer = self._other()
        if noisy.index is None:
            raise UserError("the noisy batch has no index, but DivideMix divides the examples; set its index")
        if len(peer.right) == 0:
            raise UserError("DivideMix has not divided the data; call begin_epoch of both networks before each epoch")
        right = peer.right[noisy.index]
        x = both_views(noisy)
        own, other = (_mean_prediction(network.classifier, x) for network in (self, peer))
        given = F.one_hot(noisy.y, own.shape[-1]).to(own)
        refined = right.unsqueeze(-1) * given + (1 - right).unsqueeze(-1) * own
        labelled = right > self.threshold
        target = torch.where(labelled.unsqueeze(-1), refined, (own + other) / 2)
        sharpened = (target.clamp_min(torch.finfo(target.dtype).tiny).log() / self.temperature).softmax(-1)
        return sharpened, labelled.to(own)

    def _unlabelled_weight(self) -> float:
        return self.unlabelled_weight * min(1.0, (self.epoch - 1) / self.ramp_epochs)

    def _other(self) -> DivideMixDescent:
        if self.peer is None:
            raise UserError(_TWO_NETWORKS)
        return self.peer

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"right": self.right, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        self.right, self.epoch = state["right"].to(self.right.device), state["epoch"]


def _mean_prediction(network: Classifier, x: Tensor) -> Tensor:
    """Mean of the predictions for the first and the second half of ``x`` [2B, ...] in evaluation mode, [B, K]."""
    with evaluating(network):
        logits = joined(classifier_output(network, own_rows(x)).logits, len(x))
    first, second = logits.softmax(-1).chunk(2)
    return (first + second) / 2


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the values [n] for which ``chosen`` [n] is 1 and not 0, []; 0 if there are none."""
    return (chosen * values).sum() / chosen.sum().clamp_min(1)


class EarlyTraining(Method):
    """Cross entropy on the given labels with a penalty on confident predictions, the first stage of :class:`DivideMix`.

    Args:
        owner: the method that the stage belongs to.
    """

    def __init__(self, owner: DivideMix) -> None:
        self.owner, self.pool, self.needs_clean = owner, owner.pool, owner.needs_clean

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> PenalisedDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return PenalisedDescent(
            classifier,
            optimizer(classifier.parameters()),
            confidence_penalty=self.owner.confidence_penalty,
            clean_weight=self.owner.options["clean_weight"],
            max_skipped=self.owner.options["max_skipped"],
        )


class DivideMix(Method):
    """DivideMix: two networks divide the data into labelled and unlabelled and train on both parts; semi-supervised.

    The first stage trains both networks with cross entropy. The second one builds a :class:`DivideMixDescent` for each.
    The networks are those of an ensemble, so ``networks`` has to be 2, and predictions are the mean of both.

    Args:
        early_epochs: number of epochs of the first stage, in addition to those of the second; the paper uses 10 for
            CIFAR-10 and 30 for CIFAR-100.
        confidence_penalty: weight of the negative entropy in the first stage; the paper uses 1 with asymmetric noise.
        alpha: α of Beta(α, α), from which the mixing weights are drawn.
        temperature: T, which sharpens targets if it is below 1.
        threshold: probability of being right above which a label is used; the paper uses 0.6 for 90 % noise.
        unlabelled_weight: λ, final weight of the unlabelled examples; the paper uses 0 to 150, by data set and noise.
        ramp_epochs: number of epochs over which that weight rises from 0.
        pool: the examples to train on: "noisy", or "noisy_and_clean", in which clean examples are always labelled and
            their labels are never refined.
        clean_weight: weight of the cross entropy of a clean batch, added to the losses of both stages; 0 in the paper.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: ``early_epochs`` is below 1, ``confidence_penalty`` is negative, or the pool is "clean".
    """

    views: Literal[1, 2] = 2
    networks: int = 2

    def __init__(
        self,
        early_epochs: int = 10,
        confidence_penalty: float = 0.0,
        alpha: float = 4.0,
        temperature: float = 0.5,
        threshold: float = 0.5,
        unlabelled_weight: float = 25.0,
        ramp_epochs: int = 16,
        pool: Pool = "noisy",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        check_integer("early_epochs", early_epochs, 1)
        check_not_negative(confidence_penalty=confidence_penalty)
        if pool == "clean":
            raise UserError("the pool of DivideMix is clean, which leaves nothing to divide; use noisy_and_clean")
        self.early_epochs, self.confidence_penalty, self.pool = early_epochs, confidence_penalty, pool
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {
            "alpha": alpha,
            "temperature": temperature,
            "threshold": threshold,
            "unlabelled_weight": unlabelled_weight,
            "ramp_epochs": ramp_epochs,
            "clean_weight": clean_weight,
            "max_skipped": max_skipped,
        }

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`~vri_pyro.methods.Method`."""
        first = replace(stage, method=EarlyTraining(self), epochs=self.early_epochs)
        return {"early training": first, name: stage}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> DivideMixDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return DivideMixDescent(classifier, optimizer(classifier.parameters()), **self.options)

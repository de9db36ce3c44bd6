"""Progressive early stopping (PES): trains later layers for fewer epochs, then only on labels that it agrees with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.schedules import Constant
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool, Stage
from vri_pyro.methods.cross_entropy import CrossEntropyDescent
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, check_number


def later_layers(classifier: nn.Module, share: float | None) -> list[str]:
    """Names of the last layers that have trainable parameters, in the order in which the classifier defines them.

    A layer is a module with parameters of its own, such as a convolution or a normalisation.

    Args:
        classifier: the classifier, whose last layer is defined last.
        share: fraction of the layers, rounded, but at least the last two; None for the last layer alone.

    Raises:
        UserError: the classifier has no trainable parameters.
    """
    names = [
        name
        for name, module in classifier.named_modules()
        if any(p.requires_grad for p in module.parameters(recurse=False))
    ]
    if not names:
        raise UserError(f"{type(classifier).__name__} has no trainable parameters; set requires_grad=True on some")
    return names[-1:] if share is None else names[-max(2, round(share * len(names))) :]


class LaterLayersDescent(Descent):
    """Trains the last layers from their initial parameters with cross entropy; the other layers keep theirs.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`Descent`.
        share: see :func:`later_layers`.

    Attributes:
        layers: names of the layers that are trained.
    """

    stateful = (*Descent.stateful, "initial")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        share: float | None,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        self.initial = InitialState(classifier)
        self.layers = later_layers(classifier, share)
        self.trained = [p for name, p in parameters_of(classifier).items() if self._is_later(name)]

    def begin_training(self, context: TrainingContext) -> None:
        """Restore the initial parameters and buffers of the last layers."""
        initial = {name: value for name, value in self.initial.state_dict().items() if self._is_later(name)}
        self.classifier.load_state_dict(initial, strict=False)

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        loss = F.cross_entropy(forward(self.weights).logits, noisy.y)
        return self.learn(forward, loss, clean, self.trained)[0]

    def _is_later(self, name: str) -> bool:
        return name.rpartition(".")[0] in self.layers


class ConfidentDescent(Descent):
    """Trains with class-weighted cross entropy on the examples whose given label is the predicted one.

    The examples are chosen at the start of every epoch, from the predictions of the classifier then. The weight of a
    class is inversely proportional to its number of chosen examples. Clean examples are always chosen.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        class_weights: weights of the classes, [K]. Saved in the state dict.
        kept: fraction of the examples that are chosen, []. Saved in the state dict.
    """

    def __init__(
        self, classifier: Classifier, optimizer: Optimizer, *, clean_weight: float = CLEAN_WEIGHT, max_skipped: int = 10
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        like = self.weights[0]
        self.class_weights, self.kept = like.new_ones(classifier.num_classes), like.new_ones(())

    def begin_epoch(self, context: TrainingContext) -> Tensor:
        """Choose the examples of the epoch, and weight the classes."""
        labels = context.labels_at(context.noisy).cpu()
        predicted = context.predict(context.noisy).argmax(-1).cpu()
        confident = (predicted == labels) | torch.isin(context.noisy, context.clean)
        counts = torch.bincount(labels[confident], minlength=len(self.class_weights)).double()
        mean = counts.sum() / (counts > 0).sum().clamp_min(1)
        self.class_weights = torch.where(counts > 0, mean / counts.clamp_min(1), 0).to(self.class_weights)
        self.kept = self.kept.new_tensor(confident.double().mean().item())
        return context.noisy[confident]

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``, ``kept``.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        loss = F.cross_entropy(forward(self.weights).logits, noisy.y, weight=self.class_weights)
        return self.learn(forward, loss, clean)[0] | {"kept": self.kept}

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"class_weights": self.class_weights, "kept": self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        device = self.kept.device
        self.class_weights, self.kept = state["class_weights"].to(device), state["kept"].to(device)


class PESStage(Method):
    """One of the first three stages of :class:`PES`: cross entropy on the whole network or on its last layers.

    Args:
        owner: the method that the stage belongs to.
        share: see :func:`later_layers`; 1 for the whole network.
    """

    def __init__(self, owner: PES, share: float | None) -> None:
        self.owner, self.share, self.pool, self.needs_clean = owner, share, owner.pool, owner.needs_clean

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Descent:
        """See :class:`~vri_pyro.methods.Method`."""
        built = optimizer(classifier.parameters())
        if self.share == 1:
            return CrossEntropyDescent(classifier, built, **self.owner.options)
        return LaterLayersDescent(classifier, built, share=self.share, **self.owner.options)


class PES(Method):
    """Progressive early stopping (PES): stops the training of later layers earlier, then keeps confident labels.

    Later layers memorise wrong labels sooner than earlier ones. The first stage trains the whole network for a few
    epochs. The second and the third one reset the last layers, and then the last layer alone, to their initial
    parameters, and train them for fewer epochs while the other layers keep their parameters. The last stage trains the
    whole network on the examples whose label the network predicts (:class:`ConfidentDescent`). This is the variant of
    the paper without semi-supervised learning; it uses one view.

    Args:
        whole_epochs: T1, number of epochs of the first stage; the paper uses 25 for CIFAR-10 and 30 for CIFAR-100.
        later_epochs: T2, number of epochs for the last layers.
        last_epochs: T3, number of epochs for the last layer.
        later_share: fraction of the layers that counts as the last ones, at least two layers; 0.3 is about the last of
            the four parts of a ResNet-18, with its head, as in the paper.
        refinement_optimizer: optimiser of the second and the third stage, at a constant learning rate; Adam with 1e-4
            if null, as in the paper.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of the cross entropy of a clean batch in every stage; 0 in the paper.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: a number of epochs is below 1, or ``later_share`` is not in (0, 1).

    Reference: Bai et al., Understanding and improving early stopping for learning with noisy labels, NeurIPS 2021.
    """

    def __init__(
        self,
        whole_epochs: int = 25,
        later_epochs: int = 7,
        last_epochs: int = 5,
        later_share: float = 0.3,
        refinement_optimizer: OptimizerFactory | None = None,
        pool: Pool = "noisy",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        for name, epochs in (
            ("whole_epochs", whole_epochs),
            ("later_epochs", later_epochs),
            ("last_epochs", last_epochs),
        ):
            check_integer(name, epochs, 1)
        check_number("later_share", later_share, above=0, below=1)
        self.epochs = whole_epochs, later_epochs, last_epochs
        self.later_share = later_share
        self.refinement_optimizer = refinement_optimizer or partial(Adam, lr=1e-4)
        self.pool = pool
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {"clean_weight": clean_weight, "max_skipped": max_skipped}

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`~vri_pyro.methods.Method`."""
        whole, later, last = self.epochs
        refined = replace(stage, optimizer=self.refinement_optimizer, schedule=Constant())
        return {
            "whole network": replace(stage, method=PESStage(self, 1), epochs=whole, schedule=Constant()),
            "last layers": replace(refined, method=PESStage(self, self.later_share), epochs=later),
            "last layer": replace(refined, method=PESStage(self, None), epochs=last),
            name: stage,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> ConfidentDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return ConfidentDescent(classifier, optimizer(classifier.parameters()), **self.options)

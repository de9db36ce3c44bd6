"""Ensembles of networks with different initial parameters, trained together; their logits are averaged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput, initialise_lazy
from vri_pyro.interfaces.training_context import TrainingContext


class Ensemble(Classifier):
    """Classifier that averages the logits of several networks and concatenates their features.

    Args:
        members: the networks, at least one.

    Reference: Sun et al. (2025), two-network variant in the authors' script.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.feature_dim = sum(member.feature_dim for member in members)
        self.num_classes = members[0].num_classes
        self.takes_pixels = getattr(members[0], "takes_pixels", False)

    def member(self, number: int) -> Classifier:
        """Return the network of this index, from 0."""
        return cast(Classifier, self.members[number])

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, ...]: mean logits [batch, K] and concatenated features of all networks."""
        outputs = [member(x) for member in self.members]
        logits = torch.stack([output.logits for output in outputs]).mean(0)
        return ClassifierOutput(logits, torch.cat([output.features for output in outputs], dim=-1))


class EnsembleAlgorithm(Algorithm):
    """Trains each network of an ensemble with its own algorithm, on the same batches.

    Args:
        classifier: the ensemble.
        members: one algorithm per network, in the order of the networks.
    """

    def __init__(self, classifier: Ensemble, members: Sequence[Algorithm]) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped=members[0].guard.max_skipped)
        self.members = list(members)
        for member in self.members:
            member.introduce(self.members)

    @property
    def structural_zeros(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Structural zeros of the first member; they are the same for all members."""
        return self.members[0].structural_zeros

    @property
    def classifier_optimizer(self) -> Optimizer:
        """Optimiser of the first member; :attr:`param_groups` covers all members."""
        return self.members[0].classifier_optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return [group for member in self.members for group in member.param_groups]

    @property
    def skipped(self) -> int:
        """Number of skipped updates, the maximum over the members."""
        return max(member.skipped for member in self.members)

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step with every member.

        Returns:
            mean of each metric over the members that report it.
        """
        found = [member.step(noisy, clean) for member in self.members]
        names = dict.fromkeys(name for metrics in found for name in metrics)
        return {name: torch.stack([metrics[name] for metrics in found if name in metrics]).mean() for name in names}

    def check(self, noisy: Batch, clean: Batch) -> None:
        """Check every member; see :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        for member in self.members:
            member.check(noisy, clean)

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Take one supervised step with every member; return the mean loss, []."""
        return torch.stack([member.supervised_step(x, loss) for member in self.members]).mean()

    def begin_training(self, context: TrainingContext) -> Tensor | None:
        """Call the hook of every member, and return the examples that the first member chose.

        All members share the same batches, so the choices of the others are ignored. The hooks receive a copy of the
        ensemble, since the hook of a member may reset its network.
        """
        context = replace(context, classifier=copy.deepcopy(context.classifier))
        first, *_ = [member.begin_training(context) for member in self.members]
        return first

    def begin_epoch(self, context: TrainingContext) -> Tensor | None:
        """Call the hook of every member, and return the examples that the first member chose."""
        first, *_ = [member.begin_epoch(context) for member in self.members]
        return first

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        for member, saved in zip(self.members, state["members"], strict=True):
            member.load_state_dict(saved)


def build_classifier(
    backbone: Callable[[tuple[int, ...], int], Classifier], shape: tuple[int, ...], num_classes: int, networks: int
) -> Classifier:
    """Build the classifier: one network, or an ensemble if ``networks`` > 1.

    Args:
        backbone: builds a network from (input_shape, num_classes).
        shape: input shape.
        num_classes: number of classes.
        networks: number of networks; each has its own random initial parameters.
    """
    members = [backbone(shape, num_classes) for _ in range(networks)]
    for member in members:
        initialise_lazy(member, shape)
    return members[0] if networks == 1 else Ensemble(members)


def networks_of(classifier: Classifier) -> list[Classifier]:
    """Return the networks of an ensemble; a classifier that is no ensemble is its only network."""
    if isinstance(classifier, Ensemble):
        return [classifier.member(number) for number in range(len(classifier.members))]
    return [classifier]


def build_algorithm(classifier: Classifier, build: Callable[[Classifier], Algorithm]) -> Algorithm:
    """Build the algorithm of a classifier; for an ensemble, one algorithm per network."""
    if isinstance(classifier, Ensemble):
        return EnsembleAlgorithm(classifier, [build(member) for member in networks_of(classifier)])
    return build(classifier)

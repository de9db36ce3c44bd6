"""Several networks of different initialisation, trained side by side and asked together."""

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
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext


class Ensemble(Classifier):
    """Networks whose logits are averaged; their features stand side by side.

    Args:
        members: the networks, at least one.

    Reference: Sun et al. (2025), the two-network variant of the authors' script.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.feature_dim = sum(member.feature_dim for member in members)
        self.num_classes = members[0].num_classes

    def member(self, number: int) -> Classifier:
        """One of the networks."""
        return cast(Classifier, self.members[number])

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, ...] by all of them."""
        outputs = [member(x) for member in self.members]
        logits = torch.stack([output.logits for output in outputs]).mean(0)
        return ClassifierOutput(logits, torch.cat([output.features for output in outputs], dim=-1))


class EnsembleAlgorithm(Algorithm):
    """Trains every network of an ensemble with an algorithm of its own, all on the same batches.

    Args:
        classifier: the ensemble.
        members: one algorithm for each of its networks, in their order.
    """

    def __init__(self, classifier: Ensemble, members: Sequence[Algorithm]) -> None:
        super().__init__(classifier, nn.Module(), nn.Module(), max_skipped=members[0].guard.max_skipped)
        self.members = list(members)

    @property
    def structural_zeros(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Those of the first member; the others have the same."""
        return self.members[0].structural_zeros

    @property
    def classifier_optimizer(self) -> Optimizer:
        """That of the first member; :attr:`param_groups` has those of all."""
        return self.members[0].classifier_optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return [group for member in self.members for group in member.param_groups]

    @property
    def skipped(self) -> int:
        """The largest number of skipped updates of any member."""
        return max(member.skipped for member in self.members)

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take a step of every member.

        Returns:
            the mean of each metric over the members that have it.
        """
        found = [member.step(noisy, clean) for member in self.members]
        names = dict.fromkeys(name for metrics in found for name in metrics)
        return {name: torch.stack([metrics[name] for metrics in found if name in metrics]).mean() for name in names}

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Take a supervised step of every network; returns the mean loss, []."""
        return torch.stack([member.supervised_step(x, loss) for member in self.members]).mean()

    def begin_training(self, context: TrainingContext) -> Tensor | None:
        """Call every member's hook; all draw from the examples that the first one chooses, so that batches agree.

        The context is given a copy of the ensemble, since a member may restart its network.
        """
        context = replace(context, classifier=copy.deepcopy(context.classifier))
        first, *_ = [member.begin_training(context) for member in self.members]
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
    """A network of the backbone, or an ensemble of several with initial parameters of their own."""
    members = [backbone(shape, num_classes) for _ in range(networks)]
    return members[0] if networks == 1 else Ensemble(members)


def build_algorithm(classifier: Classifier, build: Callable[[Classifier], Algorithm]) -> Algorithm:
    """What ``build`` makes of the classifier, or of each network of an ensemble."""
    if isinstance(classifier, Ensemble):
        members = map(classifier.member, range(len(classifier.members)))
        return EnsembleAlgorithm(classifier, [build(member) for member in members])
    return build(classifier)

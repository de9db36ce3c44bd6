"""Several networks of different initialisation, trained side by side and asked together."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vri_pyro.data.batch import Labelled
from vri_pyro.infer.learner import Learner
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import EpochView, Pools


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


class EnsembleLearner(Learner):
    """One learner a network, all of them on the same batches.

    Args:
        classifier: the ensemble.
        learners: one for each of its members, in their order.
    """

    def __init__(self, classifier: Ensemble, learners: Sequence[Learner]) -> None:
        self.classifier, self.learners = classifier, list(learners)

    @property
    def structural_zeros(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """Those of the first learner; the others have the same."""
        return self.learners[0].structural_zeros

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """See :class:`Learner`."""
        return [group for learner in self.learners for group in learner.param_groups]

    @property
    def skipped(self) -> int:
        """Those of the learner that was refused most."""
        return max(learner.skipped for learner in self.learners)

    def step(self, noisy: Labelled, clean: Labelled) -> Metrics:
        """Take a step of every learner.

        Returns:
            each metric's mean over the learners that have it.
        """
        found = [learner.step(noisy, clean) for learner in self.learners]
        names = dict.fromkeys(name for metrics in found for name in metrics)
        return {name: torch.stack([metrics[name] for metrics in found if name in metrics]).mean() for name in names}

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Move every network on its own; the mean of the losses."""
        return torch.stack([learner.supervised_step(x, loss) for learner in self.learners]).mean()

    def begin_epoch(self, view: EpochView) -> Pools | None:
        """Let every learner look; all draw from what the first one chooses, so that their batches are the same.

        A learner may start its network anew in a phase's first epoch; the others still see what it was before.
        """
        if view.epoch == 0:
            view = replace(view, predictor=copy.deepcopy(view.predictor))
        first, *_ = [learner.begin_epoch(view) for learner in self.learners]
        return first

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Learner`."""
        return {"learners": [learner.state_dict() for learner in self.learners]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Learner`."""
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.load_state_dict(saved)


def build_classifier(
    backbone: Callable[[tuple[int, ...], int], Classifier], shape: tuple[int, ...], num_classes: int, networks: int
) -> Classifier:
    """A network of the backbone, or an ensemble of several with initial parameters of their own."""
    members = [backbone(shape, num_classes) for _ in range(networks)]
    return members[0] if networks == 1 else Ensemble(members)


def build_learner(classifier: Classifier, build: Callable[[Classifier], Learner]) -> Learner:
    """What ``build`` makes of the classifier, or of each network of an ensemble."""
    if isinstance(classifier, Ensemble):
        members = map(classifier.member, range(len(classifier.members)))
        return EnsembleLearner(classifier, [build(member) for member in members])
    return build(classifier)

"""Confident learning: prunes labels that cross-validation contradicts and trains on the remaining examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.data import generator_for
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import (
    Method,
    OptimizerFactory,
    Pool,
    Stage,
)
from vri_pyro.methods.cross_entropy import CrossEntropyDescent
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer

Filter = Literal["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"]
_MOST_FOLDS = 1000  # each fold is a stage that trains the network from scratch


def fold_of(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign each example to a random fold, stratified by label.

    Args:
        labels: given labels, integers [n].
        folds: number of folds.
        seed: seed of the assignment.

    Returns:
        fold of each example, int64 [n], in [0, folds).
    """
    order = generator_for(seed, "folds").permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    assigned = np.empty(len(labels), dtype=np.int64)
    assigned[order] = np.arange(len(labels)) % folds
    return assigned


def label_issues(labels: np.ndarray, probabilities: np.ndarray, filter_by: Filter) -> np.ndarray:
    """Find label issues, that is, probably wrong labels, with cleanlab.

    Args:
        labels: given labels, integers [n].
        probabilities: out-of-sample class probabilities, [n, K].
        filter_by: filtering rule of cleanlab.

    Returns:
        whether each label is an issue, bool [n].

    Raises:
        UserError: cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise UserError("ConfidentLearning needs cleanlab: pip install 'vri-pyro[cleanlab]'") from error
    return find_label_issues(labels, probabilities, filter_by=filter_by, n_jobs=1)


class FoldDescent(CrossEntropyDescent):
    """Trains with cross entropy on the noisy examples outside one fold, from the initial parameters.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`~vri_pyro.methods.descent.Descent`.
        number: index of the fold to hold out, from 0.
        folds: number of folds.
        previous: algorithm of the fold trained before this one; None for the first fold.

    Attributes:
        probabilities: predicted class probabilities of the held-out examples, [held out, K]; None until the next
            stage begins. Saved in the state dict.
    """

    stateful = (*CrossEntropyDescent.stateful, "initial")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        number: int,
        folds: int,
        previous: FoldDescent | None,
        *,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        self.number, self.folds, self.previous = number, folds, previous
        self.initial: InitialState = InitialState(classifier) if previous is None else previous.initial
        self.probabilities: Tensor | None = None

    def begin_training(self, context: TrainingContext) -> Tensor:
        """Store the predictions of the previous fold, restart the classifier and hold out this fold."""
        if self.previous is not None:
            self.previous.predict_held_out(context)
        self.initial.restore(self.optimizer)
        return context.noisy[~self.held_out(context)]

    def held_out(self, context: TrainingContext) -> Tensor:
        """Whether each noisy example is in this fold, bool [n]."""
        return torch.from_numpy(fold_of(_labels(context), self.folds, context.seed) == self.number)

    def predict_held_out(self, context: TrainingContext) -> None:
        """Set ``probabilities`` to the predictions of the classifier in ``context``, which this fold has trained."""
        self.probabilities = context.predict(context.noisy[self.held_out(context)]).softmax(-1).cpu()

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"probabilities": self.probabilities}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        self.probabilities = state["probabilities"]


class PrunedDescent(CrossEntropyDescent):
    """Trains with cross entropy on the noisy examples that remain after pruning, from the initial parameters.

    Args:
        classifier, optimizer, clean_weight, max_skipped: see :class:`~vri_pyro.methods.descent.Descent`.
        folds: algorithms of the folds, at least two, in the order of training.
        filter_by: filtering rule of cleanlab.

    Attributes:
        kept: fraction of the noisy examples that remain, []. Saved in the state dict.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        folds: list[FoldDescent],
        filter_by: Filter,
        *,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        self.folds, self.filter_by = folds, filter_by
        self.kept = self.weights[0].new_ones(())

    def begin_training(self, context: TrainingContext) -> Tensor:
        """Store the predictions of the last fold, restart the classifier and prune the noisy examples."""
        self.folds[-1].predict_held_out(context)
        self.folds[-1].initial.restore(self.optimizer)
        confirmed = ~label_issues(_labels(context), self._probabilities(context), self.filter_by)
        self.kept = self.kept.new_tensor(confirmed.mean())
        return context.noisy[torch.from_numpy(confirmed)]

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; adds the scalar ``kept`` to the metrics of :class:`CrossEntropyDescent`."""
        return super().step(noisy, clean) | {"kept": self.kept}

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return super().state_dict() | {"kept": self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        self.kept = state["kept"].to(self.kept.device)

    def _probabilities(self, context: TrainingContext) -> np.ndarray:
        """Out-of-fold probabilities of all noisy examples, [n, K]."""
        gathered = torch.empty(len(context.noisy), self.classifier.num_classes)
        for fold in self.folds:
            assert fold.probabilities is not None  # set when the next stage began
            gathered[fold.held_out(context)] = fold.probabilities
        return gathered.numpy()


class Fold(Method):
    """Training stage of one fold of :class:`ConfidentLearning`.

    Args:
        owner: the method that the fold belongs to.
        number: index of the fold, from 0.
    """

    pool: Pool = "noisy"

    def __init__(self, owner: ConfidentLearning, number: int) -> None:
        self.owner, self.number, self.needs_clean = owner, number, owner.needs_clean
        self._built: dict[int, FoldDescent] = {}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> FoldDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        owner = self.owner
        self._built[id(classifier)] = FoldDescent(
            classifier,
            optimizer(classifier.parameters()),
            self.number,
            len(owner.folds),
            owner.folds[self.number - 1].built_for(classifier) if self.number else None,
            clean_weight=owner.clean_weight,
            max_skipped=owner.max_skipped,
        )
        return self._built[id(classifier)]

    def built_for(self, classifier: Classifier) -> FoldDescent:
        """Return the algorithm built for ``classifier``; an ensemble has several classifiers.

        Raises:
            UserError: no algorithm was built for it.
        """
        if id(classifier) not in self._built:
            raise UserError("a fold of ConfidentLearning is not built; build the methods of its stages(...) in order")
        return self._built[id(classifier)]


class ConfidentLearning(Method):
    """Confident learning: prunes labels that cross-validation contradicts, trains on the rest.

    Each fold has a training stage. A last stage trains on the examples that remain after pruning. All stages start
    from the initial parameters of the classifier and have the same length. cleanlab's ``CleanLearning`` does the same
    for a classifier that does not accept sample weights. For a classifier that does, it also weights the examples of
    class k by 1 / p(given = k | true = k). Requires the package cleanlab.

    Args:
        folds: number of cross-validation folds, at least 2; cleanlab's default is 5.
        filter_by: filtering rule of cleanlab.
        clean_weight: weight of the cross entropy of a clean batch in every stage; 0 in the paper (no clean set).
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: ``folds`` is below 2.

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021.
    """

    pool: Pool = "noisy"

    def __init__(
        self,
        folds: int = 5,
        filter_by: Filter = "prune_by_noise_rate",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        check_integer("folds", folds, 2, _MOST_FOLDS)
        if filter_by not in get_args(Filter):
            raise UserError(f"filter_by is {filter_by!r}; expected one of {', '.join(get_args(Filter))}")
        self.filter_by: Filter = filter_by
        self.clean_weight, self.max_skipped = clean_weight, max_skipped
        self.needs_clean = clean_weight > 0
        self.folds = [Fold(self, number) for number in range(folds)]

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`~vri_pyro.methods.Method`."""
        return {f"fold {fold.number + 1}": replace(stage, method=fold) for fold in self.folds} | {name: stage}

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> PrunedDescent:
        """See :class:`~vri_pyro.methods.Method`.

        Raises:
            UserError: the folds are not built for ``classifier``.
        """
        folds = [fold.built_for(classifier) for fold in self.folds]
        return PrunedDescent(
            classifier,
            optimizer(classifier.parameters()),
            folds,
            self.filter_by,
            clean_weight=self.clean_weight,
            max_skipped=self.max_skipped,
        )


def _labels(context: TrainingContext) -> np.ndarray:
    """Given labels of the noisy examples, int64 [n]."""
    return context.labels_at(context.noisy).cpu().numpy()

"""What every way of training a classifier has in common: a step, and a state that saves and loads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import pyro
import torch
from pyro.nn import PyroModule
from torch import Tensor, autograd, nn
from torch.nn import functional as F
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.functional import (
    ReplayedForward,
    call,
    cloned_buffers,
    commit_buffers,
    parameters_of,
)
from vri_pyro.infer.guard import FiniteGuard
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.virtual_step import apply_gradients
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.utils.errors import UserError

# Default weight of a clean batch's cross entropy in the classifier's step, for every method; 0 in their papers.
CLEAN_WEIGHT = 0.2


class Algorithm(ABC):
    """Trains a classifier, and whatever else the algorithm has, one step at a time.

    A subclass implements :meth:`step` and names its optimiser.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: the pair to infer with; an empty ``nn.Module`` each where there is none.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Attributes:
        classifier: the classifier that is trained.
        guard: counts the updates that were skipped because something was not finite.
        structural_zeros: parameter groups that no hypergradient can reach, once that is known.
    """

    #: names of the attributes whose states make up the algorithm's own
    stateful: ClassVar[tuple[str, ...]] = ("classifier", "guard")
    structural_zeros: tuple[str, ...] | None = None

    def __init__(self, classifier: Classifier, model: nn.Module, guide: nn.Module, max_skipped: int) -> None:
        self.classifier, self.model, self.guide = classifier, model, guide
        self.guard = FiniteGuard(max_skipped)
        self._global: GlobalParameters | None = GlobalParameters()
        _check_parameters_are_theirs(model, guide)
        shared = {id(p) for p in classifier.parameters()} & {id(p) for p in hyperparameters_of(model, guide).values()}
        if shared:
            raise UserError(
                f"classifier and guide or prior share {len(shared)} parameters; give guide and prior their own, "
                "they see the classifier through its output"
            )

    @property
    @abstractmethod
    def classifier_optimizer(self) -> Optimizer:
        """The optimiser of the classifier, whose learning rate a schedule changes."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of the classifier's optimiser, whose learning rates a schedule changes."""
        return self.classifier_optimizer.param_groups

    @property
    def skipped(self) -> int:
        """Number of updates skipped so far because something was not finite."""
        return self.guard.skipped

    @abstractmethod
    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step on a batch of noisy and a batch of clean labels.

        Returns:
            scalars by name, on the device of the batch.
        """

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Take one step of the classifier alone, with its own optimiser; skipped if anything is not finite.

        Args:
            x: inputs, [B, ...].
            loss: maps the logits [B, K] to a scalar.

        Returns:
            the loss, [].
        """
        forward = ReplayedForward(self.classifier, x)
        metrics, _ = self.descend(forward, loss(forward(list(parameters_of(self.classifier).values())).logits))
        return metrics["loss"]

    def begin_training(self, context: TrainingContext) -> Tensor | None:
        """Called once before the first step of a training stage; calls the hooks of model and guide.

        A run that resumes does not call it again: what it computes belongs into the state.

        Args:
            context: the data, and the classifier as earlier stages left it.

        Returns:
            positions of the noisy examples to draw the stage's batches from, int64 [n]; None for all of them.
        """
        if isinstance(self.model, Model):
            self.model.begin_training(context)
        if isinstance(self.guide, Guide):
            self.guide.begin_training(self.model, context)
        return None

    @torch.no_grad()
    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """Call the hooks of guide and model after a completed step; see :mod:`vri_pyro.interfaces.base`."""
        if isinstance(self.guide, Guide):
            self.guide.end_step(self.model, output, y)
        if isinstance(self.model, Model):
            self.model.end_step(output, y)

    def check_first_terms(self) -> None:
        """Once model and guide have run for the first time, refuse those that keep parameters in Pyro's store."""
        if self._global is not None:
            self._global.refuse_new()
            self._global = None

    def descend(self, forward: ReplayedForward, loss: Tensor) -> tuple[Metrics, bool]:
        """Move the classifier alone along the gradient of ``loss``, unless something is not finite.

        Args:
            forward: the forward pass behind the loss.
            loss: a scalar, [].

        Returns:
            the scalars ``loss`` and ``gradient_norm``, and whether the classifier moved.

        Raises:
            NonFiniteError: after too many steps in a row that were not finite.
        """
        weights = list(parameters_of(self.classifier).values())
        gradients = autograd.grad(loss, weights, allow_unused=True)
        metrics = {"loss": loss.detach(), "gradient_norm": finite_norm(gradients, like=loss)}
        buffers = {"buffers": finite_norm(forward.buffers.values(), like=loss)}
        moved = self.guard.admits(metrics | buffers, ("loss", "gradient_norm", "buffers"))
        if moved:
            apply_gradients(self.classifier_optimizer, weights, gradients)
            commit_buffers(self.classifier, forward.buffers)
            self.guard.step_completed()
        return metrics, moved

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step reads or changes, as tensors and plain values."""
        return {part: getattr(self, part).state_dict() for part in self.stateful}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a :meth:`state_dict`."""
        for part in self.stateful:
            getattr(self, part).load_state_dict(state[part])

    def clean_loss(self, parameters: Mapping[str, Tensor], clean: Batch) -> Tensor:
        """Cross entropy of a clean batch at ``parameters``, []; the classifier's buffers do not move."""
        output = call(self.classifier, parameters, cloned_buffers(self.classifier), clean.x)
        return F.cross_entropy(output.logits, clean.y)


class GlobalParameters:
    """Pyro's global parameter store as it is now, to tell what comes into it."""

    def __init__(self) -> None:
        self._known = set(pyro.get_param_store().keys())

    def take_back(self) -> list[str]:
        """Delete what has come into the store since; its names, sorted."""
        store = pyro.get_param_store()
        new = sorted(set(store.keys()) - self._known)
        for name in new:
            del store[name]
        return new

    def refuse_new(self) -> None:
        """Take back what has come into the store since.

        Raises:
            UserError: something has; no optimiser of an algorithm would train it.
        """
        if new := self.take_back():
            raise UserError(
                f"model or guide uses pyro.param for '{new[0]}', which no optimiser here would train; "
                "hold it as an nn.Parameter of the module"
            )


def check_held(optimizer: Optimizer, parameters: Mapping[str, Tensor], what: str) -> None:
    """Refuse an optimiser that lacks some of ``parameters``, which would silently not be trained.

    Raises:
        UserError: with the name of the first one that is missing.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in parameters.items() if id(p) not in held]
    if missing:
        raise UserError(
            f"the {what} does not hold '{missing[0]}' ({len(missing)} parameters in all); "
            "build it from the parameters of both model and guide"
        )


def check_not_negative(**weights: float) -> None:
    """Refuse a weight below zero, by its name."""
    for name, value in weights.items():
        if not value >= 0:
            raise UserError(f"{name} is {value}; give 0 or more")


def finite_norm(tensors: Iterable[Tensor | None], like: Tensor) -> Tensor:
    """The norm of all tensors together, [], 0 for none; not finite where one of them is not."""
    present = [t for t in tensors if t is not None and t.is_floating_point()]
    return get_total_norm(present) if present else like.detach().new_zeros(())


def hyperparameters_of(model: nn.Module, guide: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters of model and guide by name, each once even when the two share it."""
    both = nn.ModuleDict({"model": model, "guide": guide})
    return {name: p for name, p in both.named_parameters() if p.requires_grad}


def _check_parameters_are_theirs(model: nn.Module, guide: nn.Module) -> None:
    """Refuse modules that keep their parameters in Pyro's global store, where another run's would be found."""
    if pyro.settings.get("module_local_params"):
        return
    for part in (model, guide):
        for module in part.modules():
            if isinstance(module, PyroModule) and next(module.parameters(), None) is not None:
                raise UserError(
                    f"{type(module).__name__} is a PyroModule, which keeps its parameters in Pyro's global store; "
                    "derive it from torch.nn.Module, or call pyro.settings.set(module_local_params=True) before it "
                    "is built"
                )

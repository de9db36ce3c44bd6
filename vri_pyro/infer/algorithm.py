"""Base class of the training algorithms, and helpers that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    classifier_output,
    cloned_buffers,
    keep_compiled_graphs,
    loss_and_gradient,
    parameters_of,
)
from vri_pyro.infer.guard import FiniteGuard
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.probe import check_classifier
from vri_pyro.infer.virtual_step import apply_gradients, decides_on_device
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput, check_initialised
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.utils import joined
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number

# Default of ``clean_weight`` in every method: the weight of the clean cross entropy in the classifier's step.
# The methods' papers have no such term (weight 0).
CLEAN_WEIGHT = 0.2


class Algorithm(ABC):
    """Base class of training algorithms: updates a classifier step by step, and saves and restores its state.

    A subclass implements :meth:`step` and :attr:`classifier_optimizer`.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: the Pyro model and guide; an empty ``nn.Module`` each if the algorithm has none.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Attributes:
        classifier: the classifier to train.
        guard: skips non-finite updates and counts them.
        structural_zeros: names of the parameter groups that receive no hypergradient; None until they are known.

    Raises:
        UserError: the classifier shares parameters with model or guide, or has lazy layers that have not seen an input
            yet, or model or guide keeps parameters in Pyro's global parameter store.
    """

    #: Names of the attributes whose state dicts make up the state of the algorithm.
    stateful: ClassVar[tuple[str, ...]] = ("classifier", "guard")
    structural_zeros: tuple[str, ...] | None = None

    def __init__(self, classifier: Classifier, model: nn.Module, guide: nn.Module, max_skipped: int) -> None:
        self.classifier, self.model, self.guide = classifier, model, guide
        self.guard = FiniteGuard(max_skipped)
        self._undecided: Metrics = {}  # values that an earlier update of the same step left to be read with the last
        self._global: GlobalParameters | None = GlobalParameters()
        _check_parameters_are_theirs(model, guide)
        check_initialised(classifier)
        keep_compiled_graphs(classifier)
        shared = {id(p) for p in classifier.parameters()} & {id(p) for p in hyperparameters_of(model, guide).values()}
        if shared:
            raise UserError(
                f"the classifier shares {len(shared)} parameters with the model or the guide; "
                "give model and guide their own parameters; they receive the classifier's output as an argument"
            )

    @property
    @abstractmethod
    def classifier_optimizer(self) -> Optimizer:
        """Optimiser of the classifier; a schedule changes its learning rate."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the classifier's optimiser; a schedule changes their learning rates."""
        return self.classifier_optimizer.param_groups

    @property
    def skipped(self) -> int:
        """Number of updates skipped so far because of non-finite values."""
        return self.guard.skipped

    @abstractmethod
    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one training step.

        Args:
            noisy: a batch with noisy labels.
            clean: a batch with clean labels.

        Returns:
            scalar metrics by name, on the device of the batch.
        """

    def check(self, noisy: Batch, clean: Batch) -> None:
        """Check the classifier on two batches before training; changes no parameter, buffer or random state.

        Args:
            noisy: a batch with noisy labels.
            clean: a batch with clean labels.

        Raises:
            UserError: the classifier does not work with this algorithm.
        """
        check_classifier(self.classifier, noisy)

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Update only the classifier, on a loss of its logits; the update is skipped if any value is non-finite.

        Args:
            x: inputs of the whole batch, of which several processes take their shares, [B, ...].
            loss: maps the logits [B, K] to a scalar.

        Returns:
            the loss, [].
        """
        forward = ReplayedForward(self.classifier, joined.own_rows(x), count=len(x))
        metrics, _ = self.descend(forward, loss(forward(list(parameters_of(self.classifier).values())).logits))
        return metrics["loss"]

    def begin_training(self, context: TrainingContext) -> Tensor | None:
        """Hook called once before the first step of a training stage; calls the hooks of model and guide.

        A resumed run does not call this hook again, so everything that it computes must be in the state dict.

        Args:
            context: the data, and the classifier as earlier stages left it.

        Returns:
            positions of the noisy examples that the stage draws its batches from, int64 [n]; None for all examples.
        """
        if isinstance(self.model, Model):
            self.model.begin_training(context)
        if isinstance(self.guide, Guide):
            self.guide.begin_training(self.model, context)
        return None

    def begin_epoch(self, context: TrainingContext) -> Tensor | None:
        """Hook called before the first step of every epoch, after :meth:`begin_training`.

        A run that is resumed within an epoch does not call this hook again, so everything that it computes must be in
        the state dict.

        Args:
            context: the data, and the classifier, or its moving average, as the epochs before left it.

        Returns:
            positions of the noisy examples that the epoch draws its batches from, int64 [n]; None for no change.
        """
        return None

    def introduce(self, members: Sequence[Algorithm]) -> None:  # noqa: B027  # an optional hook
        """Hook that receives the algorithms of all networks of an ensemble, this one included, before training."""

    @torch.no_grad()
    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """Hook called after a completed step; calls the hooks of guide and model (:mod:`vri_pyro.interfaces.base`)."""
        if isinstance(self.guide, Guide):
            self.guide.end_step(self.model, output, y)
        if isinstance(self.model, Model):
            self.model.end_step(output, y)

    def check_first_terms(self) -> None:
        """Check that the first run of model and guide added nothing to Pyro's parameter store.

        Later calls do nothing.

        Raises:
            UserError: model or guide calls ``pyro.param``.
        """
        if self._global is not None:
            self._global.refuse_new()
            self._global = None

    def descend(
        self, forward: ReplayedForward, loss: Tensor, parameters: Sequence[Tensor] | None = None
    ) -> tuple[Metrics, bool]:
        """Take a step of :attr:`classifier_optimizer` along the gradient of ``loss``, unless any value is non-finite.

        Args:
            forward: the forward pass that ``loss`` was computed from.
            loss: a scalar, [].
            parameters: the parameters to update; by default, the trainable ones of the classifier.

        Returns:
            the metrics ``loss`` and ``gradient_norm``, and whether the parameters were updated.

        Raises:
            NonFiniteError: after ``max_skipped`` consecutive non-finite steps.
        """
        weights = list(parameters_of(self.classifier).values()) if parameters is None else parameters
        gradients = joined.mean(forward.backward(lambda: autograd.grad(loss, weights, allow_unused=True)))
        return self.descend_along(forward, loss.detach(), gradients, weights)

    def descend_along(
        self, forward: ReplayedForward, loss: Tensor, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]
    ) -> tuple[Metrics, bool]:
        """Take a step of :attr:`classifier_optimizer` along given gradients of ``parameters``; see :meth:`descend`.

        A fused optimiser decides on the device whether it steps. The values are read only afterwards, once for all
        updates of a step, so that the device does not have to wait for the host.
        """
        metrics = {"loss": loss, "gradient_norm": finite_norm(gradients, like=loss)}
        decisive = self._undecided | metrics | {"buffers": forward.largest_new(like=loss)}
        self._undecided = {}
        deferred = decides_on_device(self.classifier_optimizer)
        if deferred:
            found_inf = self.guard.found_inf(decisive)
            apply_gradients(self.classifier_optimizer, parameters, gradients, found_inf)
        moved = self.guard.admits(self.guard.read(decisive))
        if moved:
            if not deferred:
                apply_gradients(self.classifier_optimizer, parameters, gradients)
            forward.commit_buffers()
            self.guard.step_completed()
        return metrics, moved

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a step reads or changes, as tensors and plain values."""
        return {part: getattr(self, part).state_dict() for part in self.stateful}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        for part in self.stateful:
            getattr(self, part).load_state_dict(state[part])

    def clean_loss(self, clean: Batch) -> Tensor:
        """Cross entropy of a clean batch, []; the classifier's buffers do not change."""
        with joined.own_random_numbers([clean.x.device] if clean.x.is_cuda else []):
            output = call(self.classifier, parameters_of(self.classifier), cloned_buffers(self.classifier), clean.x)
        return F.cross_entropy(joined.joined(output.logits, len(clean.y)), clean.y)

    def clean_gradient(
        self, parameters: Mapping[str, Tensor], clean: Batch, factor: float | Tensor = 1.0
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Cross entropy of a clean batch at other parameters, and its gradient; the classifier does not change.

        Args:
            parameters: the trainable parameters by name.
            clean: the clean batch.
            factor: factor on the gradient.

        Returns:
            the cross entropy, [], and ``factor`` times its gradient, one tensor per parameter.
        """

        def loss() -> Tensor:
            with joined.own_random_numbers([clean.x.device] if clean.x.is_cuda else []):
                output = classifier_output(self.classifier, clean.x)
            return F.cross_entropy(joined.joined(output.logits, len(clean.y)), clean.y)

        value, gradient = loss_and_gradient(self.classifier, list(parameters.values()), loss, factor)
        return value, joined.mean(gradient)


class GlobalParameters:
    """Snapshot of Pyro's global parameter store, to detect parameters that are added later."""

    def __init__(self) -> None:
        self._known = set(pyro.get_param_store().keys())

    def take_back(self) -> list[str]:
        """Delete the parameters added since the snapshot, and return their names, sorted."""
        store = pyro.get_param_store()
        new = sorted(set(store.keys()) - self._known)
        for name in new:
            del store[name]
        return new

    def refuse_new(self) -> None:
        """Delete the parameters added since the snapshot, and raise if there are any.

        Raises:
            UserError: parameters were added; no optimiser of an algorithm would train them.
        """
        if new := self.take_back():
            raise UserError(
                f"model or guide uses pyro.param for '{new[0]}', which no optimiser here trains; "
                "define it as an nn.Parameter of the module"
            )


def check_held(optimizer: Optimizer, parameters: Mapping[str, Tensor], what: str) -> None:
    """Raise if an optimiser lacks some of ``parameters``, which would then stay untrained without an error.

    Args:
        optimizer: the optimiser.
        parameters: the parameters by name.
        what: name of the optimiser in the message.

    Raises:
        UserError: a parameter is missing; the message names the first one.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in parameters.items() if id(p) not in held]
    if missing:
        raise UserError(
            f"the {what} does not contain '{missing[0]}' ({len(missing)} parameters are missing); "
            "build it from the parameters of both model and guide"
        )


def check_not_negative(**weights: float) -> None:
    """Raise if a weight is not a finite number >= 0, and name it."""
    for name, value in weights.items():
        check_number(name, value, at_least=0)


def finite_norm(tensors: Iterable[Tensor | None], like: Tensor) -> Tensor:
    """Joint norm of all floating-point tensors, [], or 0 if there are none; non-finite if any of them is."""
    present = [t for t in tensors if t is not None and t.is_floating_point()]
    return get_total_norm(present) if present else like.detach().new_zeros(())


def hyperparameters_of(model: nn.Module, guide: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of model and guide by name; a parameter that both share appears once."""
    both = nn.ModuleDict({"model": model, "guide": guide})
    return {name: p for name, p in both.named_parameters() if p.requires_grad}


def _check_parameters_are_theirs(model: nn.Module, guide: nn.Module) -> None:
    """Raise if a module keeps parameters in Pyro's global store, where it could pick up another run's parameters."""
    if pyro.settings.get("module_local_params"):
        return
    for part in (model, guide):
        for module in part.modules():
            if isinstance(module, PyroModule) and next(module.parameters(), None) is not None:
                raise UserError(
                    f"{type(module).__name__} is a PyroModule, which keeps its parameters in Pyro's global store; "
                    "derive it from torch.nn.Module, or call pyro.settings.set(module_local_params=True) before "
                    "building it"
                )

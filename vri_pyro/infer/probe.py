"""Check a classifier on one batch before training: its output, its gradient, and the derivatives of its strategy.

Nothing here changes parameters, buffers or random states.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, autograd, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from vri_pyro.data.batch import Batch
from vri_pyro.infer.adjoint import CAUSES, DOUBLE_TOLERANCE, tolerance, violation
from vri_pyro.infer.cut import ClassifierCut
from vri_pyro.infer.functional import ReplayedForward, parameters_of, within
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    Inner,
    Problem,
    Result,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.infer.virtual_step import GradientStep
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.processes import several

CleanGradient = Callable[[dict[str, Tensor], Batch], tuple[Tensor, Sequence[Tensor]]]


class StrategyWarning(UserWarning):
    """The default hypergradient strategy does not work with the classifier, and another one is used."""


def check_classifier(classifier: nn.Module, batch: Batch) -> None:
    """Check output and gradient of a classifier on a batch.

    Raises:
        UserError: the output is not what model and guide expect, or the classifier cannot be differentiated.
    """
    if several() and any(isinstance(module, nn.SyncBatchNorm) for module in classifier.modules()):
        raise UserError(
            f"{_name(classifier)} has SyncBatchNorm, which no hypergradient strategy can differentiate; use BatchNorm, "
            "whose statistics are those of each process's share of the batch, or GroupNorm, which has none"
        )
    weights = list(parameters_of(classifier).values())
    with _random_states_kept(batch.x.device):
        forward = ReplayedForward(classifier, batch.x, count=len(batch.y))
        output = forward(weights)
        _check_output(classifier, output, batch)
        loss = F.cross_entropy(output.logits, batch.y)
        if not loss.requires_grad:
            raise UserError(
                f"no trainable parameter of {_name(classifier)} influences its logits; set requires_grad=True on some, "
                "and compute the logits outside torch.no_grad"
            )
        try:
            forward.backward(lambda: autograd.grad(loss, weights, allow_unused=True))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UserError(f"{_name(classifier)} cannot be differentiated: {_first_line(error)}") from error


def usable_strategy(
    classifier: nn.Module,
    asked: Hypergradient | None,
    noisy: Batch,
    clean: Batch,
    clean_gradient: CleanGradient,
    detach_features: bool,
) -> Hypergradient:
    """Return a strategy that works with the classifier.

    Args:
        classifier: the classifier.
        asked: the strategy that the user asked for; None for the default, :class:`SplitJVP`, or :class:`SplitVJP` with
            a warning if the default does not work.
        noisy, clean: a noisy and a clean batch.
        clean_gradient: maps the trainable parameters by name and a clean batch to the clean loss and its gradient.
        detach_features: see :class:`~vri_pyro.infer.cut.ClassifierCut`.

    Raises:
        UserError: the strategy does not work with the classifier; the message names one that does.
    """

    def failure(strategy: Hypergradient) -> str | None:
        trial = partial(_trial, classifier, clean_gradient, detach_features)
        with _random_states_kept(noisy.x.device):
            return _failure(trial, strategy, classifier, noisy, clean)

    strategy = SplitJVP() if asked is None else asked
    if (reason := failure(strategy)) is None:
        return strategy
    told = f"{_name(classifier)} does not work with {type(strategy).__name__}: {reason}"
    others = (other for other in (SplitJVP(), SplitVJP(), SplitFiniteDifference()) if type(other) is not type(strategy))
    other = next((other for other in others if failure(other) is None), None)
    if other is None:
        raise UserError(f"{told}; it works with no other hypergradient strategy either, so use another network")
    if asked is None and other.exact:
        warnings.warn(f"{told}; {type(other).__name__} is used, which is slower", StrategyWarning, stacklevel=2)
        return other
    raise UserError(f"{told}; use hypergradient {type(other).__name__}")


def _failure(
    trial: Callable[[Hypergradient, Batch, Batch], Result],
    strategy: Hypergradient,
    classifier: nn.Module,
    noisy: Batch,
    clean: Batch,
) -> str | None:
    """Why a trial of the strategy fails; None if it does not.

    The adjoint identity is checked in double precision if the network works in it. Rounding, which TF32 and autocast
    make coarse, then hides no violation. SplitJVP stands in for a finite difference, which has errors of its own at the
    kinks of a deep network. Without forward mode, or if SplitJVP fails, a forward difference does.
    """
    if isinstance(strategy, SplitJVP) and _drops_in_fused_attention(classifier, noisy):
        return "the fused kernels of its attention draw other dropout masks than the pass that computes the tangent"
    try:
        result = trial(strategy, noisy, clean)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return _first_line(error)
    if isinstance(strategy, Unrolled):  # has no tangent; SplitVJP differentiates the same operations twice
        return _failure(trial, SplitVJP(), classifier, noisy, clean)
    if result.adjoint_error is None:
        return None
    limit = tolerance(strategy, result.output.logits.dtype)
    for finest in [strategy] if strategy.exact else [SplitJVP(), SplitForwardDifference()]:
        with suppress(RuntimeError):
            result = within(classifier, _doubled(classifier), partial(trial, finest, _double(noisy), _double(clean)))
            limit = DOUBLE_TOLERANCE if result.output.logits.dtype == torch.float64 else limit
            if float(cast(Tensor, result.adjoint_error)) <= limit:
                return None
    found = float(cast(Tensor, result.adjoint_error))
    return f"{violation(found)}; {CAUSES}" if found > limit else None


def _drops_in_fused_attention(classifier: nn.Module, noisy: Batch) -> bool:
    """Whether the forward pass calls a fused attention kernel with dropout; on a CPU, none has dropout."""
    if noisy.x.device.type == "cpu":
        return False
    with FusedAttentionDropout() as calls:
        ReplayedForward(classifier, noisy.x)(list(parameters_of(classifier).values()))
    return calls.found


class FusedAttentionDropout(TorchDispatchMode):
    """Notes whether a fused kernel of ``scaled_dot_product_attention`` is called with dropout.

    Attributes:
        found: whether there was such a call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See ``TorchDispatchMode``."""
        if "scaled_dot_product" in func.name():
            values = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False))
            self.found = self.found or (values | (kwargs or {})).get("dropout_p", 0.0) > 0
        return func(*args, **(kwargs or {}))


def _trial(
    classifier: nn.Module,
    clean_gradient: CleanGradient,
    detach_features: bool,
    strategy: Hypergradient,
    noisy: Batch,
    clean: Batch,
) -> Result:
    forward = ReplayedForward(classifier, noisy.x, count=len(noisy.y))
    problem = _problem(forward, noisy.y, lambda moved: clean_gradient(moved, clean), detach_features)
    return forward.backward(lambda: strategy(problem))


def _problem(
    forward: ReplayedForward,
    y: Tensor,
    clean_gradient: Callable[[dict[str, Tensor]], tuple[Tensor, Sequence[Tensor]]],
    detached: bool,
) -> Problem:
    """A bi-level problem without model and guide: its hyperparameters are one weight per example."""
    weights = list(parameters_of(forward.classifier).values())
    per_example = torch.ones(len(y), dtype=weights[0].dtype, device=y.device, requires_grad=True)

    def inner(output: ClassifierOutput) -> Inner:
        losses = F.cross_entropy(output.logits, y, reduction="none")
        if not detached:
            losses = losses + output.features.square().mean(-1)
        return Inner((per_example * losses).mean())

    return Problem(
        parameters=weights,
        hyperparameters=[per_example],
        forward=forward,
        inner=inner,
        virtual_step=GradientStep(weights, rate=1e-3),
        meta_gradient=lambda moved: clean_gradient(forward.named(moved)),
        keep_graph=True,
        cut=ClassifierCut(detached),
        check_adjoint=True,
    )


def _doubled(classifier: nn.Module) -> dict[str, Tensor]:
    """Copies of parameters and buffers in double precision."""
    named = (*classifier.named_parameters(), *classifier.named_buffers())
    return {name: _to_double(tensor.detach()).clone().requires_grad_(tensor.requires_grad) for name, tensor in named}


def _double(batch: Batch) -> Batch:
    return batch._replace(x=_to_double(batch.x))


def _to_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _check_output(classifier: nn.Module, output: ClassifierOutput, batch: Batch) -> None:
    name, logits, features = _name(classifier), output.logits, output.features
    for part, tensor, attribute in (("logits", logits, "num_classes"), ("features", features, "feature_dim")):
        width = getattr(classifier, attribute, None)
        if tensor.dtype not in (torch.float32, torch.float64):
            raise UserError(
                f"{name} returned {part} of type {tensor.dtype}; return them as float32, such as {part}.float()"
            )
        if len(tensor) != len(batch.y):
            raise UserError(f"{name} returned {len(tensor)} rows of {part} for a batch of {len(batch.y)} examples")
        if width is not None and tensor.shape[1] != width:
            raise UserError(
                f"{name} returned {part} of width {tensor.shape[1]}, but its {attribute} is {width}; correct either"
            )
        if bool(tensor.isnan().any()) and bool(batch.x.isfinite().all()):
            raise UserError(
                f"{name} returned NaN in its {part} for the first batch, whose inputs are finite; check its initial "
                "parameters and the scale of the inputs"
            )
    if len(batch.y) and int(batch.y.max()) >= logits.shape[1]:
        raise UserError(
            f"{name} returned logits of {logits.shape[1]} classes, but there is a label {int(batch.y.max())}; "
            "build it with the number of classes of the data"
        )


@contextmanager
def _random_states_kept(device: torch.device) -> Iterator[None]:
    """Restore the states of the random generators of PyTorch, NumPy and Python on exit."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the networks' own, not ours
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _name(classifier: nn.Module) -> str:
    return type(classifier).__name__


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__

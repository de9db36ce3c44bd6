"""The virtual step against the real step of PyTorch's optimisers, and its derivative."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop

from vri_pyro.infer.virtual_step import OptimizerStep, apply_gradients, learning_rate
from vri_pyro.utils.errors import UserError

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": partial(SGD, lr=0.1),
    "SGD with weight decay": partial(SGD, lr=0.1, weight_decay=0.2),
    "SGD with momentum": partial(SGD, lr=0.1, momentum=0.9),
    "SGD with momentum, dampening and weight decay": partial(
        SGD, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=0.2
    ),
    "SGD with Nesterov momentum": partial(SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
    "Adam": partial(Adam, lr=0.1),
    "Adam with other betas and epsilon": partial(Adam, lr=0.1, betas=(0.5, 0.7), eps=1e-3),
    "Adam with weight decay": partial(Adam, lr=0.1, weight_decay=0.2),
    "Adam with AMSGrad": partial(Adam, lr=0.1, amsgrad=True, betas=(0.9, 0.3)),
    "AdamW": partial(AdamW, lr=0.1),
    "AdamW with weight decay and AMSGrad": partial(AdamW, lr=0.1, weight_decay=0.2, amsgrad=True),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def _parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(())), nn.Parameter(torch.randn(5))]


def _gradients(parameters: list[nn.Parameter], scale: float = 1.0) -> list[Tensor]:
    return [scale * torch.randn_like(p) for p in parameters]


def _after(steps: int, make: Callable[..., Optimizer]) -> tuple[list[nn.Parameter], Optimizer]:
    parameters = _parameters()
    optimizer = make([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.03, "weight_decay": 0.01}])
    for step in range(steps):
        apply_gradients(optimizer, parameters, _gradients(parameters, scale=3.0 - step))
    return parameters, optimizer


@every_optimizer
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_virtual_step_is_where_the_optimiser_steps(make: Callable[..., Optimizer], steps: int) -> None:
    parameters, optimizer = _after(steps, make)
    gradients = _gradients(parameters)
    moved = OptimizerStep(optimizer, parameters)(gradients)
    apply_gradients(optimizer, parameters, gradients)
    for p, w in zip(parameters, moved, strict=True):
        torch.testing.assert_close(w, p.detach(), rtol=1e-12, atol=1e-12)


@every_optimizer
def test_virtual_step_follows_parameters_in_any_order(make: Callable[..., Optimizer]) -> None:
    parameters, optimizer = _after(2, make)
    gradients = _gradients(parameters)
    forwards = OptimizerStep(optimizer, parameters)(gradients)
    backwards = OptimizerStep(optimizer, parameters[::-1])(gradients[::-1])
    for a, b in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(a, b)


@every_optimizer
def test_virtual_step_follows_the_learning_rate_of_a_schedule(make: Callable[..., Optimizer]) -> None:
    parameters, optimizer = _after(2, make)
    gradients, step = _gradients(parameters), OptimizerStep(optimizer, parameters)
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    for moved, p in zip(step(gradients), parameters, strict=True):
        assert not torch.equal(moved, p)
    expected = step(gradients)
    apply_gradients(optimizer, parameters, gradients)
    for p, w in zip(parameters, expected, strict=True):
        torch.testing.assert_close(w, p.detach(), rtol=1e-12, atol=1e-12)


@every_optimizer
@pytest.mark.parametrize("steps", [0, 3])
def test_derivative_with_respect_to_the_gradients_is_that_of_finite_differences(
    make: Callable[..., Optimizer], steps: int
) -> None:
    parameters, optimizer = _after(steps, make)
    step = OptimizerStep(optimizer, parameters)
    gradients = [g.requires_grad_() for g in _gradients(parameters)]
    assert torch.autograd.gradcheck(lambda *g: tuple(step(g)), gradients, atol=1e-7, rtol=1e-5)


@every_optimizer
@pytest.mark.parametrize("steps", [0, 3])
def test_virtual_step_changes_neither_parameters_nor_state(make: Callable[..., Optimizer], steps: int) -> None:
    parameters, optimizer = _after(steps, make)
    before = copy.deepcopy([p.detach() for p in parameters]), copy.deepcopy(optimizer.state_dict())
    step = OptimizerStep(optimizer, parameters)
    moved = step([g.requires_grad_() for g in _gradients(parameters)])
    torch.stack([w.square().sum() for w in moved]).sum().backward()
    _assert_equal(before, ([p.detach() for p in parameters], optimizer.state_dict()))
    assert len(optimizer.state) == (len(parameters) if before[1]["state"] else 0)


def _assert_equal(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_gradient_has_a_finite_derivative_under_adam(
    kind: type[Optimizer], amsgrad: bool, dtype: torch.dtype
) -> None:
    parameter = nn.Parameter(torch.ones(3, dtype=dtype))
    optimizer = kind([parameter], lr=0.1, amsgrad=amsgrad)
    gradient = torch.tensor([0.0, 1.0, 0.0], dtype=dtype, requires_grad=True)
    (moved,) = OptimizerStep(optimizer, [parameter])([gradient])
    (slope,) = torch.autograd.grad(moved.sum(), [gradient])
    assert slope.isfinite().all()
    apply_gradients(optimizer, [parameter], [gradient.detach()])
    torch.testing.assert_close(moved.detach(), parameter.detach())


def test_apply_gradients_leaves_a_parameter_without_gradient_where_it_is() -> None:
    parameters = _parameters()
    optimizer = SGD(parameters, lr=0.1, weight_decay=0.5)
    before = [p.detach().clone() for p in parameters]
    apply_gradients(optimizer, parameters, [torch.ones_like(parameters[0]), None, None])
    torch.testing.assert_close(parameters[0].detach(), before[0] - 0.1 * (1 + 0.5 * before[0]))
    assert torch.equal(parameters[1], before[1])
    assert torch.equal(parameters[2], before[2])
    assert all(p.grad is None for p in parameters)


def test_learning_rate_is_the_largest_of_the_groups() -> None:
    _, optimizer = _after(0, partial(SGD, lr=0.02))
    assert learning_rate(optimizer) == 0.03


class OwnSGD(SGD):
    """A subclass may override the step, so it is not supported."""


@pytest.mark.parametrize("kind", [RMSprop, NAdam, OwnSGD])
def test_unknown_optimiser_is_refused_by_name(kind: type[Optimizer]) -> None:
    parameters = _parameters()
    with pytest.raises(
        UserError, match=rf"no virtual step is implemented .* {kind.__name__}; use one of SGD, Adam, AdamW"
    ):
        OptimizerStep(kind(parameters, lr=0.1), parameters)


def test_parameter_that_the_optimiser_does_not_hold_is_refused() -> None:
    parameters = _parameters()
    with pytest.raises(UserError, match="does not contain every trainable parameter"):
        OptimizerStep(SGD(parameters[:2], lr=0.1), parameters)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_maximising_optimiser_is_refused(kind: type[Optimizer]) -> None:
    parameters = _parameters()
    with pytest.raises(UserError, match="maximises"):
        OptimizerStep(kind(parameters, lr=0.1, maximize=True), parameters)

"""The optimiser's next step: taken, or only imagined as a differentiable function of the gradient (paper, eq. 9).

The classifier's virtual step is the step that its optimiser would take on the noisy loss alone. For every optimiser
here that step is elementwise in the gradient, so its derivative is a diagonal and costs nothing next to a pass through
the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from vri_pyro.utils.errors import UserError

VirtualStep = Callable[[Sequence[Tensor]], list[Tensor]]


def virtual_step(optimizer: Optimizer, parameters: Sequence[Tensor]) -> VirtualStep:
    """The function that maps gradients of ``parameters`` to where ``optimizer`` would move them.

    It reads the optimiser's state (momentum, moments, weight decay) and changes nothing. The result is
    differentiable in the gradients.

    Args:
        optimizer: SGD (momentum, dampening, Nesterov, weight decay), Adam or AdamW, not ``maximize``.
        parameters: the optimiser's parameters, in the order in which gradients will come.

    Raises:
        UserError: for another optimiser, or a parameter that the optimiser does not hold.
    """
    rule = next((r for kind, r in _RULES.items() if type(optimizer) is kind), None)
    if rule is None:
        raise UserError(
            f"no virtual step is known for the inner optimiser {type(optimizer).__name__}; "
            f"use one of {', '.join(k.__name__ for k in _RULES)}"
        )
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if any(id(p) not in group_of for p in parameters):
        raise UserError("the inner optimiser does not hold every trainable parameter of the classifier")
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise UserError("the inner optimiser maximises; the classifier's loss is to be minimised")

    def step(gradients: Sequence[Tensor]) -> list[Tensor]:
        return [
            rule(p.detach(), g, group_of[id(p)], optimizer.state.get(p, {}))
            for p, g in zip(parameters, gradients, strict=True)
        ]

    return step


def learning_rate(optimizer: Optimizer) -> float:
    """The largest learning rate of the optimiser's groups, η of the hypergradient's scale."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def apply_gradients(optimizer: Optimizer, parameters: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> None:
    """Let ``optimizer`` step along ``gradients``; a parameter whose gradient is None does not move."""
    parameters = list(parameters)
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    optimizer.step()
    for p in parameters:
        p.grad = None


def _sgd(p: Tensor, g: Tensor, group: dict, state: dict) -> Tensor:
    if group["weight_decay"]:
        g = g.add(p, alpha=group["weight_decay"])
    if group["momentum"]:
        buffer = state.get("momentum_buffer")
        moving = g if buffer is None else group["momentum"] * buffer + (1 - group["dampening"]) * g
        g = g + group["momentum"] * moving if group["nesterov"] else moving
    return p - group["lr"] * g


def _adam(p: Tensor, g: Tensor, group: dict, state: dict) -> Tensor:
    if group["weight_decay"]:
        if group["decoupled_weight_decay"]:
            p = p * (1 - group["lr"] * group["weight_decay"])
        else:
            g = g.add(p, alpha=group["weight_decay"])
    beta1, beta2 = group["betas"]
    count = state["step"].double() + 1 if state else torch.ones((), dtype=torch.double)
    first = (1 - beta1) * g
    second = (1 - beta2) * g * g
    if state:
        first = first + beta1 * state["exp_avg"]
        second = second + beta2 * state["exp_avg_sq"]
        if group["amsgrad"]:
            second = torch.maximum(state["max_exp_avg_sq"], second)
    # The square root's slope is infinite at 0, where the gradient of a dead unit sits; there it counts as 0.
    root = second.clamp_min(torch.finfo(g.dtype).tiny).sqrt()
    denominator = root / (1 - beta2**count).sqrt().to(g) + group["eps"]
    return p - (group["lr"] / (1 - beta1**count)).to(g) * first / denominator


_RULES: dict[type[Optimizer], Callable[[Tensor, Tensor, dict, dict], Tensor]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
}

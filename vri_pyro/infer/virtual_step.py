"""The optimiser's next step: applied, or computed as a differentiable function of the gradient (paper, eq. 9).

The virtual step of the classifier is the step that its optimiser would take on the noisy loss alone. For every
supported optimiser this step is elementwise in the gradient. Its derivative is therefore diagonal, and its cost is
negligible next to a pass through the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from vri_pyro.utils.errors import UserError

VirtualStep = Callable[[Sequence[Tensor]], list[Tensor]]


def virtual_step(optimizer: Optimizer, parameters: Sequence[Tensor]) -> VirtualStep:
    """Return a function that maps gradients to the values of ``parameters`` after the optimiser's next step.

    The function reads the options and the state of the optimiser (weight decay, momentum, moments) and changes neither.
    Its result is differentiable in the gradients.

    Args:
        optimizer: SGD (with momentum, dampening, Nesterov momentum or weight decay), Adam or AdamW, without
            ``maximize``.
        parameters: parameters of the optimiser, in the order of the gradients.

    Raises:
        UserError: the optimiser is of another class, maximises, or does not contain all ``parameters``.
    """
    rule = next((r for kind, r in _RULES.items() if type(optimizer) is kind), None)
    if rule is None:
        raise UserError(
            f"no virtual step is implemented for the inner optimiser {type(optimizer).__name__}; "
            f"use one of {', '.join(k.__name__ for k in _RULES)}"
        )
    group_of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if any(id(p) not in group_of for p in parameters):
        raise UserError(
            "the inner optimiser does not contain every trainable parameter of the classifier; "
            "build it from classifier.parameters()"
        )
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise UserError("the inner optimiser maximises the classifier's loss; set maximize=False")

    def step(gradients: Sequence[Tensor]) -> list[Tensor]:
        return [
            rule(p.detach(), g, group_of[id(p)], optimizer.state.get(p, {}))
            for p, g in zip(parameters, gradients, strict=True)
        ]

    return step


def learning_rate(optimizer: Optimizer) -> float:
    """Largest learning rate among the optimiser's parameter groups: η, which scales the hypergradient."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def apply_gradients(optimizer: Optimizer, parameters: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> None:
    """Take a step of ``optimizer`` along ``gradients``; a parameter whose gradient is None does not change."""
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
    # The square root has infinite slope at 0, the gradient of a dead unit. Clamping sets the slope there to 0.
    root = second.clamp_min(torch.finfo(g.dtype).tiny).sqrt()
    denominator = root / (1 - beta2**count).sqrt().to(g) + group["eps"]
    return p - (group["lr"] / (1 - beta1**count)).to(g) * first / denominator


_RULES: dict[type[Optimizer], Callable[[Tensor, Tensor, dict, dict], Tensor]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
}

"""The optimiser's next step: applied, or computed as a differentiable function of the gradient (paper, eq. 9).

The virtual step of the classifier is the step that its optimiser would take on the noisy loss alone. For every
supported optimiser this step is elementwise in the gradient. Its derivative is therefore diagonal, and has a closed
form: a number for SGD, and one value per parameter for Adam.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, autograd
from torch.optim import SGD, Adam, AdamW, Optimizer

from vri_pyro.utils.errors import UserError

Tensors = Sequence[Tensor]
#: Maps the gradient with respect to ŵ to the gradient with respect to the inner gradient g.
PullBack = Callable[[Tensors], list[Tensor]]


class VirtualStep(ABC):
    """The map S from gradients g to the parameters ŵ = S(g) after a step."""

    @abstractmethod
    def __call__(self, gradients: Tensors) -> list[Tensor]:
        """Return ŵ, differentiable in ``gradients``."""

    def linearised(self, gradients: Tensors) -> tuple[list[Tensor], PullBack]:
        """Return ŵ without a graph, and the pull-back of S at ``gradients``."""
        # Two parameters can share one gradient tensor, because autograd returns the same tensor for both terms of a
        # sum. So each gets a separate leaf, and nothing is modified in place.
        leaves = [g.detach().requires_grad_() for g in gradients]
        moved = self(leaves)
        return [w.detach() for w in moved], lambda outer: list(autograd.grad(moved, leaves, outer))


class GradientStep(VirtualStep):
    """A plain gradient step, ŵ = w − η g.

    Args:
        parameters: w.
        rate: η.
    """

    def __init__(self, parameters: Tensors, rate: float) -> None:
        self.parameters, self.rate = parameters, rate

    def __call__(self, gradients: Tensors) -> list[Tensor]:
        """See :class:`VirtualStep`."""
        return [p.detach() - self.rate * g for p, g in zip(self.parameters, gradients, strict=True)]

    @torch.no_grad()
    def linearised(self, gradients: Tensors) -> tuple[list[Tensor], PullBack]:
        """See :class:`VirtualStep`."""
        return _added(self.parameters, gradients, -self.rate), lambda outer: _scaled(outer, -self.rate)


class OptimizerStep(VirtualStep):
    """The next step of an optimiser, whose options and state are read and not changed.

    Args:
        optimizer: SGD (with momentum, dampening, Nesterov momentum or weight decay), Adam or AdamW, without
            ``maximize``. Learning rates may be tensors, and its state may be on a device (``capturable``, ``fused``).
        parameters: parameters of the optimiser, in the order of the gradients.

    Raises:
        UserError: the optimiser is of another class, maximises, or does not contain all ``parameters``.
    """

    def __init__(self, optimizer: Optimizer, parameters: Tensors) -> None:
        if type(optimizer) not in _RULES:
            raise UserError(
                f"no virtual step is implemented for the inner optimiser {type(optimizer).__name__}; "
                f"use one of {', '.join(k.__name__ for k in _RULES)}"
            )
        place_of = {id(p): place for place, p in enumerate(parameters)}
        self._groups = [
            (group, places)
            for group in optimizer.param_groups
            if (places := [place_of[id(p)] for p in group["params"] if id(p) in place_of])
        ]
        if sum(len(places) for _, places in self._groups) < len(parameters):
            raise UserError(
                "the inner optimiser does not contain every trainable parameter of the classifier; "
                "build it from classifier.parameters()"
            )
        if any(group.get("maximize") for group in optimizer.param_groups):
            raise UserError("the inner optimiser maximises the classifier's loss; set maximize=False")
        self.optimizer, self.parameters = optimizer, parameters
        self._rule, self._closed_form = _RULES[type(optimizer)]

    def __call__(self, gradients: Tensors) -> list[Tensor]:
        """See :class:`VirtualStep`."""
        moved = list(self.parameters)
        for group, places in self._groups:
            for place in places:
                p = self.parameters[place]
                moved[place] = self._rule(p.detach(), gradients[place], group, self.optimizer.state.get(p, {}))
        return moved

    @torch.no_grad()
    def linearised(self, gradients: Tensors) -> tuple[list[Tensor], PullBack]:
        """See :class:`VirtualStep`."""
        moved: list[Any] = [None] * len(gradients)
        pull_backs: list[PullBack] = []
        for group, places in self._groups:
            parameters = [self.parameters[place] for place in places]
            states = [self.optimizer.state.get(p, {}) for p in parameters]
            found = self._closed_form(parameters, [gradients[place] for place in places], group, states)
            if found is None:
                with torch.enable_grad():
                    return super().linearised(gradients)
            for place, w in zip(places, found[0], strict=True):
                moved[place] = w
            pull_backs.append(found[1])

        def pull_back(outer: Tensors) -> list[Tensor]:
            pulled = list(outer)
            for (_, places), part in zip(self._groups, pull_backs, strict=True):
                for place, s in zip(places, part([outer[place] for place in places]), strict=True):
                    pulled[place] = s
            return pulled

        return moved, pull_back


class AddedGradient(VirtualStep):
    """Another step along a mixture of the gradient and a constant one, ŵ = S(αg + c).

    Args:
        step: S.
        share: α.
        constant: c, one tensor per parameter, without a graph.
    """

    def __init__(self, step: VirtualStep, share: float, constant: Tensors) -> None:
        self.step, self.share, self.constant = step, share, constant

    def added(self, gradients: Tensors) -> list[Tensor]:
        """Return αg + c."""
        return [self.share * g + c for g, c in zip(gradients, self.constant, strict=True)]

    def __call__(self, gradients: Tensors) -> list[Tensor]:
        """See :class:`VirtualStep`."""
        return self.step(self.added(gradients))

    def linearised(self, gradients: Tensors) -> tuple[list[Tensor], PullBack]:
        """See :class:`VirtualStep`."""
        moved, pull_back = self.step.linearised(self.added(gradients))
        return moved, lambda outer: _scaled(pull_back(outer), self.share)


def learning_rate(optimizer: Optimizer) -> float | Tensor:
    """Largest learning rate among the optimiser's parameter groups: η, which scales the hypergradient.

    It is a tensor if a group's learning rate is one, so that nothing is read back from a device.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    if any(isinstance(rate, Tensor) for rate in rates):
        return torch.stack([torch.as_tensor(rate) for rate in rates]).amax()
    return max(rates)


def apply_gradients(
    optimizer: Optimizer,
    parameters: Iterable[Tensor],
    gradients: Iterable[Tensor | None],
    found_inf: Tensor | None = None,
) -> None:
    """Take a step of ``optimizer`` along ``gradients``; a parameter whose gradient is None does not change.

    Args:
        optimizer: the optimiser.
        parameters, gradients: its parameters and their gradients.
        found_inf: if 1.0, nothing changes, [], on the device of the parameters; for optimisers for which
            :func:`decides_on_device` holds.
    """
    parameters = list(parameters)
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    if found_inf is None:
        optimizer.step()
    else:  # the attribute that torch.amp.GradScaler sets
        optimizer.found_inf = found_inf  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.found_inf  # type: ignore[attr-defined]
    for p in parameters:
        p.grad = None


def decides_on_device(optimizer: Optimizer) -> bool:
    """Whether the optimiser can skip a step by a flag on the device: a fused one.

    PyTorch's fused SGD leaves its momentum uninitialised if its first step is skipped, so it needs to have a state.
    """
    groups = optimizer.param_groups
    ready = bool(optimizer.state) or not any(group.get("momentum") for group in groups)
    return ready and all(group.get("fused") for group in groups)


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
    # The gradient of a dead unit is 0, where the square root has infinite slope. Clamping sets the slope there to 0.
    root = second.clamp_min(torch.finfo(g.dtype).tiny).sqrt()
    denominator = root / (1 - beta2**count).sqrt().to(g) + group["eps"]
    return p - (group["lr"] / (1 - beta1**count)).to(g) * first / denominator


# Closed forms: ŵ of a group's parameters, and the pull-back; None if the differentiable rule has to be used.
ClosedForm = tuple[list[Tensor], PullBack] | None


def _sgd_in_closed_form(
    parameters: list[Tensor], gradients: list[Tensor], group: dict, states: list[dict]
) -> ClosedForm:
    rate, momentum = group["lr"], group["momentum"]
    buffers: list[Any] = [state.get("momentum_buffer") for state in states]
    if isinstance(rate, Tensor) or (momentum and len({b is None for b in buffers}) > 1):
        return None
    fresh, carried = 1.0, 0.0  # the step is along fresh * (g + decay * w) + carried * buffer
    if momentum:
        fresh, carried = (1.0, 0.0) if buffers[0] is None else (1 - group["dampening"], momentum)
        if group["nesterov"]:
            fresh, carried = 1 + momentum * fresh, momentum * carried
    scale = rate * fresh
    moved = _added(parameters, gradients, -scale)
    if group["weight_decay"]:
        torch._foreach_add_(moved, parameters, alpha=-scale * group["weight_decay"])
    if carried:
        torch._foreach_add_(moved, buffers, alpha=-rate * carried)
    return moved, lambda outer: _scaled(outer, -scale)


def _adam_in_closed_form(
    parameters: list[Tensor], gradients: list[Tensor], group: dict, states: list[dict]
) -> ClosedForm:
    steps: set[Any] = {float(state["step"]) if state and not state["step"].is_cuda else None for state in states}
    rate, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
    if isinstance(rate, Tensor) or None in steps or len(steps) > 1:
        return None
    count = steps.pop() + 1
    rate_corrected, second_corrected = rate / (1 - beta1**count), (1 - beta2**count) ** 0.5
    if decay and not group["decoupled_weight_decay"]:
        gradients = _added(gradients, parameters, decay)
    first = list(torch._foreach_lerp([state["exp_avg"] for state in states], gradients, 1 - beta1))
    second = list(torch._foreach_mul([state["exp_avg_sq"] for state in states], beta2))
    torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
    slope = list(torch._foreach_mul(gradients, 1 - beta2))  # half the derivative of the second moment
    if group["amsgrad"]:
        for s, v, largest in zip(slope, second, (state["max_exp_avg_sq"] for state in states), strict=True):
            s.masked_fill_(v < largest, 0)
            torch.maximum(v, largest, out=v)
    for s, v in zip(slope, second, strict=True):
        tiny = torch.finfo(v.dtype).tiny
        s.masked_fill_(v < tiny, 0)
        v.clamp_min_(tiny)
    root = list(torch._foreach_sqrt(second))
    torch._foreach_div_(slope, root)
    denominator = list(torch._foreach_div(root, second_corrected))
    torch._foreach_add_(denominator, group["eps"])
    direction = list(torch._foreach_div(first, denominator))
    shrunk = parameters
    if decay and group["decoupled_weight_decay"]:
        shrunk = list(torch._foreach_mul(parameters, 1 - rate * decay))
    moved = _added(shrunk, direction, -rate_corrected)

    def pull_back(outer: Tensors) -> list[Tensor]:
        # d(first / denominator) / dg = ((1 - β₁) - direction · slope / second_corrected) / denominator
        scale = list(torch._foreach_mul(direction, slope))
        torch._foreach_mul_(scale, 1 / second_corrected)
        torch._foreach_sub_(scale, 1 - beta1)
        torch._foreach_div_(scale, denominator)
        torch._foreach_mul_(scale, rate_corrected)
        return list(torch._foreach_mul(list(outer), scale))

    return moved, pull_back


def _added(tensors: Tensors, others: Tensors, alpha: float) -> list[Tensor]:
    return list(torch._foreach_add([t.detach() for t in tensors], [t.detach() for t in others], alpha=alpha))


def _scaled(tensors: Tensors, factor: float) -> list[Tensor]:
    return list(torch._foreach_mul(list(tensors), factor))


_RULES: dict[type[Optimizer], tuple[Callable[..., Tensor], Callable[..., ClosedForm]]] = {
    SGD: (_sgd, _sgd_in_closed_form),
    Adam: (_adam, _adam_in_closed_form),
    AdamW: (_adam, _adam_in_closed_form),
}

"""Hypergradient strategies: the gradient of an outer loss after a virtual step with respect to hyperparameters.

Notation: w are the parameters of a network, φ the hyperparameters, F(w) is the network's output on a batch, ℓ(F, φ) the
inner loss, ŵ = S(g) the parameters after the optimiser's step along g = ∇_w ℓ, and G(ŵ) the outer loss. With the
cotangent u(φ) = ∂ℓ/∂F and the Jacobian J = ∂F/∂w, the inner gradient is g = Jᵀu(φ), and

    dG/dφ = ∂/∂φ ⟨u(φ), t⟩  with the tangent  t = J s,  s = (∂S/∂g)ᵀ ∇G(ŵ).

The split strategies differentiate only u with respect to φ and treat t as a constant. They differ in how they compute
t. :class:`Unrolled` differentiates through the virtual step directly. All strategies are exact except
:class:`SplitFiniteDifference` and :class:`SplitForwardDifference`.

Nothing here knows of labels. F may be any output that hyperparameters act on: logits and features of a classifier for
rectification, or one loss per example for data re-weighting.

Reference: Sun et al. (2025), eq. 9-11. The split of the hypergradient at the network's output is original to
this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, autograd
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import get_total_norm

from vri_pyro.infer.cut import Cut, TensorCut
from vri_pyro.infer.kept_outputs import KeptOutputs
from vri_pyro.infer.virtual_step import VirtualStep
from vri_pyro.utils import joined
from vri_pyro.utils.numbers import check_number

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Inner:
    """The inner objective at an output F.

    Attributes:
        loss: ℓ, [].
        direct: a term of the outer objective that bypasses the virtual step, []; None if there is none.
        details: whatever the caller wants back with the result.
    """

    loss: Tensor
    direct: Tensor | None = None
    details: Any = None


@dataclass(frozen=True)
class Problem[Output]:
    """The input of a strategy: one bi-level step.

    Attributes:
        parameters: w, the trainable parameters of the network.
        hyperparameters: φ, the trainable parameters that the inner loss depends on otherwise.
        forward: F, maps parameters to the network's output on the batch. Every call draws the same random numbers and
            uses its own copy of the buffers.
        inner: maps the output to the inner objective, with new noise on every call.
        virtual_step: S, maps the inner gradient to ŵ.
        meta_gradient: maps parameters to the outer loss G and its gradient, times the factor of G in the outer
            objective. The gradient is computed at once, since the network holds the parameters only for the call.
        keep_graph: whether to keep the graph of the returned output.
        cut: the tensors of the output at which the hypergradient is split; by default, the output is one tensor.
        check_adjoint: whether to compute :attr:`Result.adjoint_error`.
    """

    parameters: Tensors
    hyperparameters: Tensors
    forward: Callable[[Tensors], Output]
    inner: Callable[[Output], Inner]
    virtual_step: VirtualStep
    meta_gradient: Callable[[Tensors], tuple[Tensor, Tensors]]
    keep_graph: bool = False
    cut: Cut[Output] = field(default_factory=TensorCut)  # type: ignore[arg-type]
    check_adjoint: bool = False


@dataclass(frozen=True)
class Result[Output]:
    """The output of a strategy.

    Attributes:
        gradients: gradients of the outer objective, one per hyperparameter; None where structurally zero.
        inner: the inner objective.
        inner_gradient: g, one tensor per parameter.
        meta_loss: G, [].
        output: F(w), with its graph if ``keep_graph`` is set in the problem.
        adjoint_error: lower bound on the relative error of the tangent t, [] (:func:`adjoint_error`); None if it was
            not asked for, or if the strategy uses no tangent.
    """

    gradients: list[Tensor | None]
    inner: Inner
    inner_gradient: Tensors
    meta_loss: Tensor
    output: Output
    adjoint_error: Tensor | None = None


class Hypergradient(ABC):
    """Base class of strategies that compute the gradient of the outer objective.

    Attributes:
        exact: whether the tangent is exact up to rounding.
    """

    exact: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, problem: Problem) -> Result:
        """Compute the outer gradients of ``problem``; the first forward pass must be at w."""


class Unrolled(Hypergradient):
    """Exact hypergradient by double backward through the virtual step; reference for the others."""

    def __call__(self, problem: Problem) -> Result:
        """See :class:`Hypergradient`."""
        output = _forward_to_differentiate_twice(problem)
        inner = problem.inner(problem.cut.replaced(output, problem.cut.tensors(output)))
        own_gradient = autograd.grad(
            inner.loss, problem.parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        inner_gradient = joined.mean(own_gradient)
        moved = problem.virtual_step(inner_gradient)
        meta_loss, outer = problem.meta_gradient([w.detach() for w in moved])
        gradients = _outer_gradients(problem, _inner_product(moved, outer), inner, retain_graph=problem.keep_graph)
        return Result(gradients, inner, [g.detach() for g in inner_gradient], meta_loss, output)


class Split(Hypergradient):
    """Hypergradient split at the classifier's output; subclasses implement the tangent t = J s."""

    def __call__(self, problem: Problem) -> Result:
        """See :class:`Hypergradient`."""
        output = self.forward(problem)
        # An output that depends on no trainable parameter, as features of a frozen trunk, has a zero Jacobian.
        ends = [end if end.requires_grad else end.detach().requires_grad_() for end in problem.cut.tensors(output)]
        leaves = [end.detach().requires_grad_() for end in ends]
        inner = problem.inner(problem.cut.replaced(output, leaves))
        cotangents = autograd.grad(inner.loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)

        inner_gradient, tangent_along = self.linearise(problem, ends, [u.detach() for u in cotangents])
        inner_gradient = joined.mean(inner_gradient)
        moved, pull_back = problem.virtual_step.linearised(inner_gradient)
        meta_loss, outer = problem.meta_gradient(moved)
        direction = pull_back(outer)
        tangents = tangent_along(direction)

        gradients = _outer_gradients(problem, _inner_product(cotangents, tangents), inner)
        error = adjoint_error(cotangents, tangents, inner_gradient, direction) if problem.check_adjoint else None
        return Result(gradients, inner, inner_gradient, meta_loss, output, error)

    def forward(self, problem: Problem) -> Any:
        """Return F(w) with its graph."""
        return problem.forward(problem.parameters)

    @abstractmethod
    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """Return the inner gradient Jᵀu and a function that maps a direction s to the tangent J s.

        Args:
            problem: the bi-level step.
            ends: the tensors of F(w) at the cut, with their graph.
            cotangents: u, one tensor per entry of ``ends``.
        """


def _forward_to_differentiate_twice(problem: Problem) -> Any:
    with sdpa_kernel(SDPBackend.MATH):  # fused kernels of attention have no double backward
        return problem.forward(problem.parameters)


@torch.no_grad()
def adjoint_error(cotangents: Tensors, tangents: Tensors, inner_gradient: Tensors, direction: Tensors) -> Tensor:
    """Violation of ⟨u, Js⟩ = ⟨Jᵀu, s⟩, relative to ‖u‖·‖Js‖, []; a lower bound on the relative error of the tangent Js.

    The identity holds for every Jacobian J. It is violated if the pass that computes the tangent differentiates
    another function than the backward pass does.

    Args:
        cotangents: u.
        tangents: J s.
        inner_gradient: Jᵀu.
        direction: s.
    """
    forward, backward = _inner_product(cotangents, tangents), _inner_product(inner_gradient, direction)
    scale = torch.maximum(get_total_norm(list(cotangents)) * get_total_norm(list(tangents)), backward.abs())
    return (forward - backward).abs() / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def _inner_product(one: Tensors, other: Tensors) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _vector_jacobian(problem: Problem, ends: Tensors, cotangents: Tensors) -> Tensors:
    return autograd.grad(
        ends, problem.parameters, cotangents, retain_graph=problem.keep_graph,
        allow_unused=True, materialize_grads=True,
    )  # fmt: skip


class SplitJVP(Split):
    """Exact hypergradient by one forward-mode derivative of the classifier; the default.

    The forward-mode derivative gives the tangent t. The tangent is not differentiated further. The gradient of a
    forward-mode tangent is silently wrong through training-mode BatchNorm and LayerNorm (PyTorch issues 162350,
    196699), and it is not needed here. Outputs of layers that the graph of F(w) still holds are not computed again
    (module ``kept_outputs``).
    """

    def __call__(self, problem: Problem) -> Result:
        """See :class:`Hypergradient`."""
        return super().__call__(replace(problem, forward=KeptOutputs().repeated(problem.forward)))

    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """See :meth:`Split.linearise`."""

        def tangent_along(direction: Tensors) -> Tensors:
            # Fused kernels of attention have no forward mode.
            with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
                duals = [
                    forward_ad.make_dual(p.detach(), s) for p, s in zip(problem.parameters, direction, strict=True)
                ]
                parts = problem.cut.tensors(problem.forward(duals))
                pairs = [forward_ad.unpack_dual(part) for part in parts]
            return [torch.zeros_like(q.primal) if q.tangent is None else q.tangent for q in pairs]

        return _vector_jacobian(problem, ends, cotangents), tangent_along


class SplitVJP(Split):
    """Exact hypergradient by two reverse passes, for operations without forward mode.

    The tangent t = J s is the gradient of ⟨Jᵀc, s⟩ with respect to c.
    """

    def forward(self, problem: Problem) -> Any:
        """See :meth:`Split.forward`."""
        return _forward_to_differentiate_twice(problem)

    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """See :meth:`Split.linearise`."""
        duals = [c.clone().requires_grad_() for c in cotangents]
        inner_gradient = autograd.grad(
            ends, problem.parameters, duals, create_graph=True, allow_unused=True, materialize_grads=True
        )

        def tangent_along(direction: Tensors) -> Tensors:
            tangents = autograd.grad(
                inner_gradient, duals, direction, retain_graph=problem.keep_graph,
                allow_unused=True, materialize_grads=True,
            )  # fmt: skip
            return joined.mean(tangents)

        return [g.detach() for g in inner_gradient], tangent_along


class SplitFiniteDifference(Split):
    """Approximate hypergradient by a central difference of the classifier's output.

    The central difference approximates the tangent t. The difference is of the output, not of the loss.

    Args:
        relative_step: length of the step relative to the norm of w. Default: the cube root of the machine precision,
            where truncation error and rounding error balance.

    Raises:
        UserError: ``relative_step`` is not positive.
    """

    exact = False

    def __init__(self, relative_step: float | None = None) -> None:
        self.relative_step = _checked(relative_step)

    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """See :meth:`Split.linearise`."""

        def tangent_along(direction: Tensors) -> Tensors:
            step = _step_size(problem.parameters, direction, self.relative_step, 1 / 3)
            with torch.no_grad():
                there = problem.cut.tensors(problem.forward(_moved(problem.parameters, direction, step)))
                back = problem.cut.tensors(problem.forward(_moved(problem.parameters, direction, -step)))
            return [(a - b) / (2 * step) for a, b in zip(there, back, strict=True)]

        return _vector_jacobian(problem, ends, cotangents), tangent_along


class SplitForwardDifference(Split):
    """Approximate hypergradient by a forward difference; the cheapest and least accurate.

    The forward difference of the classifier's output approximates the tangent t. It reuses F(w).

    Args:
        relative_step: length of the step relative to the norm of w. Default: the square root of the machine precision.

    Raises:
        UserError: ``relative_step`` is not positive.
    """

    exact = False

    def __init__(self, relative_step: float | None = None) -> None:
        self.relative_step = _checked(relative_step)

    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """See :meth:`Split.linearise`."""
        here = [end.detach() for end in ends]

        def tangent_along(direction: Tensors) -> Tensors:
            step = _step_size(problem.parameters, direction, self.relative_step, 1 / 2)
            with torch.no_grad():
                there = problem.cut.tensors(problem.forward(_moved(problem.parameters, direction, step)))
            return [(a - b) / step for a, b in zip(there, here, strict=True)]

        return _vector_jacobian(problem, ends, cotangents), tangent_along


def _outer_gradients(
    problem: Problem, through_step: Tensor, inner: Inner, retain_graph: bool = False
) -> list[Tensor | None]:
    objective = through_step if inner.direct is None else through_step + inner.direct
    if not problem.hyperparameters or not objective.requires_grad:
        return [None] * len(problem.hyperparameters)
    gradients = autograd.grad(objective, problem.hyperparameters, retain_graph=retain_graph, allow_unused=True)
    return joined.mean(gradients)


def _checked(relative_step: float | None) -> float | None:
    if relative_step is not None:
        check_number("relative_step", relative_step, above=0, remedy=", or None for the default")
    return relative_step


def _step_size(parameters: Tensors, direction: Tensors, relative: float | None, power: float) -> Tensor:
    if relative is None:
        relative = torch.finfo(direction[0].dtype).eps ** power
    length = get_total_norm(direction).clamp_min(torch.finfo(direction[0].dtype).tiny)
    return relative * get_total_norm(list(parameters)).detach() / length


def _moved(parameters: Tensors, direction: Tensors, step: Tensor) -> Tensors:
    offsets = torch._foreach_mul(list(direction), step)
    torch._foreach_add_(offsets, [p.detach() for p in parameters])
    return offsets

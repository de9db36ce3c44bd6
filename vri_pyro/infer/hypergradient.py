"""Hypergradient strategies: the gradient of the clean loss after a virtual step with respect to guide and prior.

Notation: w are the classifier's parameters, φ those of guide and prior, F(w) is the classifier's output on the noisy
batch, ℓ(F, φ) the inner loss, ŵ = S(g) the parameters after the optimiser's step along g = ∇_w ℓ, and G(ŵ) the clean
loss. With the cotangent u(φ) = ∂ℓ/∂F and the Jacobian J = ∂F/∂w, the inner gradient is g = Jᵀu(φ), and

    dG/dφ = ∂/∂φ ⟨u(φ), t⟩  with the tangent  t = J s,  s = (∂S/∂g)ᵀ ∇G(ŵ).

The split strategies differentiate only u with respect to φ and treat t as a constant. They differ in how they compute
t. :class:`Unrolled` differentiates through the virtual step directly. All strategies are exact except
:class:`SplitFiniteDifference` and :class:`SplitForwardDifference`.

Reference: Sun et al. (2025), eq. 9-11. The split of the hypergradient at the network's output is original to
this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, autograd
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import get_total_norm

from vri_pyro.infer.elbo import ELBOTerms
from vri_pyro.infer.virtual_step import VirtualStep
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils import joined
from vri_pyro.utils.numbers import check_number

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Problem:
    """The input of a strategy: one bi-level step.

    Attributes:
        parameters: w, the trainable parameters of the classifier.
        hyperparameters: φ, the trainable parameters of guide and model.
        forward: F, maps parameters to the classifier's output on the noisy batch. Every call draws the same random
            numbers and uses its own copy of the buffers.
        head: maps the classifier's output to the terms of the ELBO, with new noise on every call.
        inner_kl_weight: λ, weight of the KL in ℓ.
        outer_kl_weight: β, weight of the KL in the outer objective.
        virtual_step: S, maps the inner gradient to ŵ.
        meta_gradient: maps parameters to the clean loss G and its gradient, times the factor of G in the outer
            objective. The gradient is computed at once, since the classifier holds the parameters only for the call.
        detach_features: whether guide and prior receive the features detached.
        keep_graph: whether to keep the graph of the returned output.
        check_adjoint: whether to compute :attr:`Result.adjoint_error`.
    """

    parameters: Tensors
    hyperparameters: Tensors
    forward: Callable[[Tensors], ClassifierOutput]
    head: Callable[[ClassifierOutput], ELBOTerms]
    inner_kl_weight: float
    outer_kl_weight: float
    virtual_step: VirtualStep
    meta_gradient: Callable[[Tensors], tuple[Tensor, Tensors]]
    detach_features: bool
    keep_graph: bool
    check_adjoint: bool = False

    def attached(self, output: ClassifierOutput) -> list[Tensor]:
        """The parts of an output through which the inner loss depends on w."""
        return [output.logits] if self.detach_features else [output.logits, output.features]

    def direct(self, terms: ELBOTerms) -> Tensor | None:
        """The term of the outer objective that bypasses the virtual step, β · KL per example; None if β is 0."""
        return self.outer_kl_weight * terms.mean_kl() if self.outer_kl_weight else None


@dataclass(frozen=True)
class Result:
    """The output of a strategy.

    Attributes:
        gradients: gradients of the outer objective, one per hyperparameter; None where structurally zero.
        inner_loss, meta_loss: ℓ and G, [].
        terms: the ELBO terms that ℓ was computed from.
        output: F(w), with its graph if ``keep_graph`` is set in the problem.
        adjoint_error: lower bound on the relative error of the tangent t, [] (:func:`adjoint_error`); None if it was
            not asked for, or if the strategy uses no tangent.
    """

    gradients: list[Tensor | None]
    inner_loss: Tensor
    meta_loss: Tensor
    terms: ELBOTerms
    output: ClassifierOutput
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
        output = problem.forward(problem.parameters)
        seen = output._replace(features=output.features.detach()) if problem.detach_features else output
        terms = problem.head(seen)
        inner_loss = terms.loss(problem.inner_kl_weight)
        inner_gradient = autograd.grad(
            inner_loss, problem.parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        moved = problem.virtual_step(joined.mean(inner_gradient))
        meta_loss, outer = problem.meta_gradient([w.detach() for w in moved])
        gradients = _outer_gradients(problem, _inner_product(moved, outer), terms, retain_graph=problem.keep_graph)
        return Result(gradients, inner_loss.detach(), meta_loss, terms, output)


class Split(Hypergradient):
    """Hypergradient split at the classifier's output; subclasses implement the tangent t = J s."""

    def __call__(self, problem: Problem) -> Result:
        """See :class:`Hypergradient`."""
        output = problem.forward(problem.parameters)
        cut = output._replace(logits=output.logits.detach(), features=output.features.detach())
        leaves = problem.attached(cut)
        # Features that depend on no trainable parameter (a frozen trunk) have a zero Jacobian.
        ends = [end if end.requires_grad else end.detach().requires_grad_() for end in problem.attached(output)]
        for leaf in leaves:
            leaf.requires_grad_()
        terms = problem.head(cut)
        inner_loss = terms.loss(problem.inner_kl_weight)
        cotangents = autograd.grad(inner_loss, leaves, create_graph=True, allow_unused=True, materialize_grads=True)

        inner_gradient, tangent_along = self.linearise(problem, ends, [u.detach() for u in cotangents])
        inner_gradient = joined.mean(inner_gradient)
        meta_loss, direction = _pull_back(problem, inner_gradient)
        tangents = tangent_along(direction)

        through_step = _inner_product(cotangents, tangents)
        gradients = _outer_gradients(problem, through_step, terms)
        error = adjoint_error(cotangents, tangents, inner_gradient, direction) if problem.check_adjoint else None
        return Result(gradients, inner_loss.detach(), meta_loss, terms, output, error)

    @abstractmethod
    def linearise(
        self, problem: Problem, ends: Tensors, cotangents: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """Return the inner gradient Jᵀu and a function that maps a direction s to the tangent J s.

        Args:
            problem: the bi-level step.
            ends: the attached parts of F(w), with their graph.
            cotangents: u, one tensor per entry of ``ends``.
        """


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
    196699), and it is not needed here.
    """

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
                parts = problem.attached(problem.forward(duals))
                pairs = [forward_ad.unpack_dual(part) for part in parts]
            return [torch.zeros_like(q.primal) if q.tangent is None else q.tangent for q in pairs]

        return _vector_jacobian(problem, ends, cotangents), tangent_along


class SplitVJP(Split):
    """Exact hypergradient by two reverse passes, for operations without forward mode.

    The tangent t = J s is the gradient of ⟨Jᵀc, s⟩ with respect to c.
    """

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
                there = problem.attached(problem.forward(_moved(problem.parameters, direction, step)))
                back = problem.attached(problem.forward(_moved(problem.parameters, direction, -step)))
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
                there = problem.attached(problem.forward(_moved(problem.parameters, direction, step)))
            return [(a - b) / step for a, b in zip(there, here, strict=True)]

        return _vector_jacobian(problem, ends, cotangents), tangent_along


def _pull_back(problem: Problem, inner_gradient: Tensors) -> tuple[Tensor, Tensors]:
    """The clean loss after the virtual step, and s: its scaled gradient pulled back to the inner gradient."""
    # Two parameters can share one gradient tensor, because autograd returns the same tensor for both terms of a sum.
    # So each gets a separate leaf, and nothing is modified in place.
    leaves = [g.detach().requires_grad_() for g in inner_gradient]
    moved = problem.virtual_step(leaves)
    meta_loss, outer = problem.meta_gradient([w.detach() for w in moved])
    return meta_loss, autograd.grad(moved, leaves, outer)


def _outer_gradients(
    problem: Problem, through_step: Tensor, terms: ELBOTerms, retain_graph: bool = False
) -> list[Tensor | None]:
    direct = problem.direct(terms)
    objective = through_step if direct is None else through_step + direct
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

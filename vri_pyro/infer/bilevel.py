"""Bi-level stochastic variational inference: the paper's algorithm 1 for any pair of model and guide."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch, check_batch
from vri_pyro.infer.adjoint import AdjointCheck
from vri_pyro.infer.algorithm import (
    CLEAN_WEIGHT,
    Algorithm,
    check_held,
    check_not_negative,
    finite_norm,
    hyperparameters_of,
)
from vri_pyro.infer.cut import ClassifierCut
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO, check_elbo
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.hypergradient import Hypergradient, Inner, Problem, Result, SplitJVP
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.metrics import Metrics, term_metrics
from vri_pyro.infer.probe import usable_strategy
from vri_pyro.infer.virtual_step import OptimizerStep, apply_gradients, decides_on_device, learning_rate
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.numbers import check_integer


class StructuralZeroWarning(UserWarning):
    """Some parameters cannot receive a hypergradient in this configuration and stay untrained."""


class BilevelSVI(Algorithm):
    """Trains a classifier on noisy labels, and guide and prior on the clean loss after a virtual step.

    Each :meth:`step` first updates guide and prior (φ, ω) with the gradient of the outer objective

        G(ŵ(φ, ω)) / η  +  β · KL[q_φ ‖ p_ω].

    G is the cross entropy of the clean batch at ŵ, the classifier's parameters after the virtual step, and η is the
    inner learning rate. The step then updates the classifier on the rectified loss of the same noisy batch, with the
    updated guide.

    For small η, the gradient of G with respect to φ is proportional to η. Dividing G by η therefore keeps the balance
    between the two terms the same at any learning rate, and along a learning-rate schedule.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: Pyro callables ``(output, y)``; ``outer_optimizer`` trains their parameters.
        inner_optimizer: optimiser of the classifier: SGD, Adam or AdamW. The virtual step is its next step on the
            noisy loss alone. The real step includes the clean gradient as well if ``clean_weight`` is not 0.
        outer_optimizer: optimiser of the parameters of model and guide.
        elbo: the ELBO estimator; its ``num_particles`` is the paper's k. Default: two particles, as in the paper.
        inner_kl_weight: λ of eq. 6, weight of the KL in the loss of the virtual step. This KL reaches guide and prior
            only through the features, so it has no effect with ``detach_features``.
        outer_kl_weight: β, weight of the KL in nats per example; the clean loss divided by η has weight 1.
        detach_features: whether guide and prior receive the classifier's features detached.
        clean_weight: weight of the cross entropy of a clean batch in the classifier's real step. Once the classifier
            fits the clean set, the clean loss is close to 0, and guide and prior learn little more from it.
        restart: whether to reset the classifier when training begins, to the parameters that it had when this object
            was built. The hooks of model and guide run first, on the classifier as earlier stages left it.
        hypergradient: the strategy that computes the hypergradient. Default:
            :class:`~vri_pyro.infer.hypergradient.SplitJVP`, or :class:`~vri_pyro.infer.hypergradient.SplitVJP` with a
            warning if the classifier uses an operation without forward mode.
        share_forward: whether to keep the graph of the noisy forward pass for the real step. This is faster but needs
            more memory.
        late: whether the gradient of the virtual step also updates the classifier. This saves an evaluation of the ELBO
            and a backward pass, but the classifier follows the guide of the step before. Weight decay then also moves
            parameters that the loss does not use, as in the virtual step.
        outer_every: n, number of steps from one update of guide and prior to the next. The steps between them update
            the classifier alone, and cost no more than those of a method without outer problem.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Attributes:
        structural_zeros: names of the parameter groups that receive no hypergradient; None before the first step.
        guard: skips non-finite updates and counts them.

    Raises:
        UserError: a weight is negative, an optimiser is not supported or lacks parameters, model and guide have no
            trainable parameters, or ``late`` is combined with a KL that reaches the classifier.

    Reference: Sun et al. (2025), algorithm 1, eq. 6-12.
    """

    stateful = ("classifier", "model", "guide", "inner_optimizer", "outer_optimizer", "guard")

    def __init__(
        self,
        classifier: Classifier,
        model: nn.Module,
        guide: nn.Module,
        inner_optimizer: Optimizer,
        outer_optimizer: Optimizer,
        *,
        elbo: RectificationELBO | None = None,
        inner_kl_weight: float = 0.0,
        outer_kl_weight: float = 1e-3,
        detach_features: bool = True,
        clean_weight: float = CLEAN_WEIGHT,
        restart: bool = False,
        hypergradient: Hypergradient | None = None,
        share_forward: bool = True,
        late: bool = False,
        outer_every: int = 1,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, model, guide, max_skipped)
        self.inner_optimizer, self.outer_optimizer = inner_optimizer, outer_optimizer
        check_not_negative(inner_kl_weight=inner_kl_weight, outer_kl_weight=outer_kl_weight, clean_weight=clean_weight)
        check_elbo(elbo)
        check_integer("outer_every", outer_every, 1)
        if late and inner_kl_weight and not detach_features:
            raise UserError(
                f"late is set, but inner_kl_weight is {inner_kl_weight:g} and the features are attached, so that the "
                "gradient of the virtual step contains the KL, which the classifier's step does not; set "
                "inner_kl_weight=0 or late=False"
            )
        if hypergradient is not None and (isinstance(hypergradient, type) or not callable(hypergradient)):
            raise UserTypeError(f"hypergradient is {described(hypergradient)}; expected a strategy such as SplitJVP()")
        self.elbo = RectificationELBO(num_particles=2) if elbo is None else elbo
        self.inner_kl_weight, self.outer_kl_weight = inner_kl_weight, outer_kl_weight
        self.detach_features, self.clean_weight = detach_features, clean_weight
        self.hypergradient = SplitJVP() if hypergradient is None else hypergradient
        self._default_strategy = self.hypergradient if hypergradient is None else None
        self.adjoint, self._checked = AdjointCheck(), False
        self.share_forward, self.late, self.outer_every = share_forward, late, outer_every
        self.steps = 0
        self._cut = ClassifierCut(detach_features)
        self.initial = InitialState(classifier) if restart else None

        self._weights = list(parameters_of(classifier).values())
        self._hyper = hyperparameters_of(model, guide)
        self._check_optimizers()

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return self.inner_optimizer

    def begin_training(self, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`; with ``restart``, resets the classifier after the hooks."""
        super().begin_training(context)
        if self.initial is not None:
            self.initial.restore(self.inner_optimizer)

    def check(self, noisy: Batch, clean: Batch) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`; the first step calls it if it was not called before.

        Raises:
            UserError: the classifier does not work with the hypergradient strategy.
        """
        super().check(noisy, clean)
        asked = None if self.hypergradient is self._default_strategy else self.hypergradient
        self.hypergradient = usable_strategy(
            self.classifier, asked, noisy, clean, self.clean_gradient, self.detach_features
        )
        self._checked = True

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one bi-level step.

        Args:
            noisy: a batch with noisy labels.
            clean: a batch with clean labels.

        Returns:
            scalar metrics on the device of the batch: ``loss`` and ``gradient_norm`` of the real step; ``inner_loss``;
            ``meta_loss``; ``kl`` in nats per example; ``hypergradient_norm`` and its parts
            ``hypergradient_norm/model`` and ``hypergradient_norm/guide`` (0 for a part without hypergradient); the
            statistics of the latent sites (:func:`~vri_pyro.infer.metrics.term_metrics`); and in some steps
            ``adjoint_error`` (:mod:`~vri_pyro.infer.adjoint`). Steps that do not update guide and prior have the
            metrics of the real step alone.

            If the inner loss, the meta loss or the hypergradient is non-finite, nothing is updated, and the metrics of
            the real step are missing or non-finite. If only the real step is non-finite, guide and prior are updated
            and the classifier is not.

        Raises:
            NonFiniteError: after ``max_skipped`` consecutive non-finite steps.
        """
        for name, batch in (("noisy", noisy), ("clean", clean)):
            check_batch(name, batch, getattr(self.classifier, "num_classes", None))
        self._check_once(noisy, clean)
        forward = ReplayedForward(self.classifier, noisy.x, noisy.index, len(noisy.y))
        metrics: Metrics = {}
        result: Result | None = None
        if self.steps % self.outer_every == 0:
            metrics, result = self._outer_step(forward, noisy.y, clean)
            if result is None:
                return metrics
        output, real_metrics, moved = self._real_step(forward, noisy.y, clean, result)
        if moved:
            self.steps += 1
            self.end_step(output, noisy.y)
        return metrics | real_metrics

    def _outer_step(self, forward: ReplayedForward, y: Tensor, clean: Batch) -> tuple[Metrics, Result | None]:
        """Update guide and prior; returns no result if a value is non-finite and nothing was updated."""
        result = self._outer(forward, y, clean, check_adjoint=self.adjoint.due())
        self.check_first_terms()
        self._report_structural_zeros(result.gradients)
        metrics = term_metrics(result.inner.details) | self._hypergradient_norms(result)
        metrics |= {"inner_loss": result.inner.loss.detach(), "meta_loss": result.meta_loss}
        decisive = {name: metrics[name] for name in ("inner_loss", "meta_loss", "hypergradient_norm")}
        if result.adjoint_error is not None:
            metrics["adjoint_error"] = decisive["adjoint_error"] = result.adjoint_error
        elif decides_on_device(self.inner_optimizer) and decides_on_device(self.outer_optimizer):
            self._undecided = decisive
            found_inf = self.guard.found_inf(decisive)
            apply_gradients(self.outer_optimizer, self._hyper.values(), result.gradients, found_inf)
            self.adjoint.steps += 1
            return metrics, result
        values = self.guard.read(decisive)
        self._judge(values.pop("adjoint_error", None), result)
        if not self.guard.admits(values):
            return metrics, None
        self.adjoint.steps += 1
        apply_gradients(self.outer_optimizer, self._hyper.values(), result.gradients)
        return metrics, result

    def _real_step(
        self, forward: ReplayedForward, y: Tensor, clean: Batch, result: Result | None
    ) -> tuple[ClassifierOutput, Metrics, bool]:
        """Update the classifier; returns its output, the metrics, and whether the classifier was updated.

        Args:
            forward: the forward pass of the noisy batch.
            y: the noisy labels.
            clean: the clean batch.
            result: the result of the outer step, if there was one.
        """
        if result is not None and self.late:
            metrics, moved = self._late_step(forward, result, clean)
            return result.output, metrics, moved
        output = result.output if result is not None and self.share_forward else forward(self._weights)
        loss = self._head(self._cut.whole(output), y).loss(kl_weight=0.0)
        if self.clean_weight:
            loss = loss + self.clean_weight * self.clean_loss(clean)
        metrics, moved = self.descend(forward, loss, self._weights)
        return output, metrics, moved

    def _late_step(self, forward: ReplayedForward, result: Result, clean: Batch) -> tuple[Metrics, bool]:
        """Update the classifier along the gradient of the virtual step."""
        loss, gradient = result.inner.loss.detach(), list(result.inner_gradient)
        if self.clean_weight:
            named = dict(zip(forward.names, self._weights, strict=True))
            clean_loss, clean_gradient = self.clean_gradient(named, clean, self.clean_weight)
            loss = loss + self.clean_weight * clean_loss
            gradient = list(torch._foreach_add(gradient, list(clean_gradient)))
        return self.descend_along(forward, loss, gradient, self._weights)

    def outer_gradients(self, noisy: Batch, clean: Batch) -> list[Tensor | None]:
        """Compute the gradient of the outer objective as in :meth:`step`, without updating any parameter.

        Only the state of the random number generator changes, by one forward pass and one evaluation of the ELBO.

        Args:
            noisy: a batch with noisy labels.
            clean: a batch with clean labels.

        Returns:
            one gradient per trainable parameter of model and guide, in the order of
            :func:`~vri_pyro.infer.algorithm.hyperparameters_of`; None where it is structurally zero.
        """
        self._check_once(noisy, clean)
        forward = ReplayedForward(self.classifier, noisy.x, noisy.index, len(noisy.y))
        return self._outer(forward, noisy.y, clean).gradients

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        zeros = None if self.structural_zeros is None else list(self.structural_zeros)
        initial = None if self.initial is None else self.initial.state_dict()
        own = {"structural_zeros": zeros, "initial": initial, "adjoint_steps": self.adjoint.steps, "steps": self.steps}
        return super().state_dict() | own

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().load_state_dict(state)
        zeros = state["structural_zeros"]
        self.structural_zeros = None if zeros is None else tuple(zeros)
        self.adjoint.steps = state.get("adjoint_steps", 0)  # checkpoints of earlier releases lack both counts
        self.steps = state.get("steps", 0)
        if self.initial is not None:
            self.initial.load_state_dict(state["initial"])

    def _check_once(self, noisy: Batch, clean: Batch) -> None:
        if not self._checked:
            self.check(noisy, clean)

    def _judge(self, error: float | None, result: Result) -> None:
        name = type(self.classifier).__name__
        self.adjoint.judge(error, self.hypergradient, result.output.logits.dtype, name)

    def _outer(self, forward: ReplayedForward, y: Tensor, clean: Batch, check_adjoint: bool = False) -> Result:
        problem = self._problem(forward, y, clean, check_adjoint)
        return forward.backward(lambda: self.hypergradient(problem))

    def _problem(self, forward: ReplayedForward, y: Tensor, clean: Batch, check_adjoint: bool) -> Problem:
        factor = self._meta_weight()

        def inner(output: ClassifierOutput) -> Inner:
            terms = self._head(output, y)
            return Inner(terms.loss(self.inner_kl_weight), self._direct(terms, clean), terms)

        return Problem(
            parameters=self._weights,
            hyperparameters=list(self._hyper.values()),
            forward=forward,
            inner=inner,
            virtual_step=OptimizerStep(self.inner_optimizer, self._weights),
            meta_gradient=lambda moved: self.clean_gradient(
                dict(zip(forward.names, moved, strict=True)), clean, factor
            ),
            keep_graph=self.share_forward and not self.late,
            cut=self._cut,
            check_adjoint=check_adjoint,
        )

    def _meta_weight(self) -> float | Tensor:
        """Weight of the clean loss in the outer objective, 1 / η."""
        rate = learning_rate(self.inner_optimizer)
        if isinstance(rate, Tensor):
            return torch.where(rate > 0, 1 / rate, 1.0)
        return 1 / rate if rate > 0 else 1.0

    def _direct(self, terms: ELBOTerms, clean: Batch) -> Tensor | None:
        """Terms of the outer objective that do not depend on the virtual step, []; None if there are none."""
        return self.outer_kl_weight * terms.mean_kl() if self.outer_kl_weight else None

    def _hypergradient_norms(self, result: Result) -> Metrics:
        """Norms of the hypergradient and of its parts for model and guide; shared parameters count as the model's."""
        parts: dict[str, list[Tensor | None]] = {}
        for name, gradient in zip(self._hyper, result.gradients, strict=True):
            parts.setdefault(f"hypergradient_norm/{name.partition('.')[0]}", []).append(gradient)
        norms = {name: finite_norm(part, like=result.meta_loss) for name, part in parts.items()}
        return norms | {"hypergradient_norm": torch.stack(list(norms.values())).norm()}

    def _head(self, output: ClassifierOutput, y: Tensor) -> ELBOTerms:
        return self.elbo.terms(self.model, self.guide, output, y)

    def _check_optimizers(self) -> None:
        OptimizerStep(self.inner_optimizer, self._weights)
        if not self._hyper:
            raise UserError(
                "model and guide have no trainable parameters, so there is no outer problem to solve; "
                "train this pair with SingleLevelSVI"
            )
        check_held(self.outer_optimizer, self._hyper, "outer optimiser")

    def _report_structural_zeros(self, gradients: Sequence[Tensor | None]) -> None:
        if self.structural_zeros is not None:
            return
        zero = {name for name, g in zip(self._hyper, gradients, strict=True) if g is None}
        self.structural_zeros = tuple(_groups(zero, self._hyper))
        if zero:
            warnings.warn(
                f"no hypergradient can reach {', '.join(self.structural_zeros)} in this configuration "
                f"(detach_features={self.detach_features}, inner_kl_weight={self.inner_kl_weight:g}, "
                f"outer_kl_weight={self.outer_kl_weight:g}); these parameters keep their initial values",
                StructuralZeroWarning,
                stacklevel=3,
            )


def _groups(chosen: set[str], names: Iterable[str]) -> list[str]:
    """Names of the largest modules that contain only ``chosen`` parameters."""

    def largest(name: str) -> str:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            prefix = ".".join(parts[:depth])
            if all(other in chosen for other in names if (other + ".").startswith(prefix + ".")):
                return prefix
        return name

    return list(dict.fromkeys(largest(name) for name in names if name in chosen))

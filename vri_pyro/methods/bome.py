"""BOME: first-order bi-level inference, which needs no derivative of a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch, check_batch
from vri_pyro.infer.algorithm import Algorithm, check_held, check_not_negative, finite_norm, hyperparameters_of
from vri_pyro.infer.cut import ClassifierCut
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO, check_elbo
from vri_pyro.infer.functional import ReplayedForward, parameters_of
from vri_pyro.infer.metrics import Metrics, term_metrics
from vri_pyro.infer.virtual_step import apply_gradients, learning_rate
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.pair import build_pair
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import mean
from vri_pyro.utils.numbers import check_integer


class BOMEDescent(Algorithm):
    """Trains classifier, guide and prior together on the clean loss, subject to a barrier on the noisy loss.

    Let g(φ, w) be the rectified noisy loss, f(w) the cross entropy of the clean batch, and w_T the classifier after T
    gradient steps on g. The value-function gap is q(φ, w) = g(φ, w) − g(φ, w_T); its gradient treats w_T as a constant.
    A step moves φ and w along

        ∇f + λ ∇q,    λ = max(0, η − ⟨∇f, ∇q⟩ / ‖∇q‖²).

    The smaller η is, the more weight the clean loss has. There are no second derivatives. The guide draws the same
    random numbers for both terms of q.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        model, guide: Pyro callables ``(output, y)``; ``outer_optimizer`` trains their parameters φ.
        inner_optimizer: optimiser of the classifier.
        outer_optimizer: optimiser of the parameters of model and guide.
        elbo: the ELBO estimator. Default: one particle.
        inner_steps: T.
        inner_rate: learning rate of the T steps; that of the classifier if None.
        barrier: η.
        kl_weight: weight of the KL in g.
        detach_features: whether guide and prior receive the classifier's features detached.
        max_skipped: number of consecutive non-finite steps after which training stops.

    Raises:
        UserError: an option is out of range, an optimiser lacks parameters, or model and guide have no trainable ones.

    Reference: Ye et al., BOME! Bilevel optimization made easy: a simple first-order approach, NeurIPS 2022.
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
        inner_steps: int = 10,
        inner_rate: float | None = None,
        barrier: float = 0.5,
        kl_weight: float = 0.0,
        detach_features: bool = True,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, model, guide, max_skipped)
        check_elbo(elbo)
        check_integer("inner_steps", inner_steps, 1)
        check_not_negative(barrier=barrier, kl_weight=kl_weight)
        if inner_rate is not None:
            check_not_negative(inner_rate=inner_rate)
        self.inner_optimizer, self.outer_optimizer = inner_optimizer, outer_optimizer
        self.elbo = RectificationELBO(1) if elbo is None else elbo
        self.inner_steps, self.inner_rate = inner_steps, inner_rate
        self.barrier, self.kl_weight = barrier, kl_weight
        self._cut = ClassifierCut(detach_features)
        self._weights = list(parameters_of(classifier).values())
        self._hyper = list(hyperparameters_of(model, guide).values())
        if not self._hyper:
            raise UserError(
                "model and guide have no trainable parameters, so there is no outer problem to solve; train this pair "
                "with SingleLevel"
            )
        check_held(inner_optimizer, parameters_of(classifier), "inner optimiser")
        check_held(outer_optimizer, hyperparameters_of(model, guide), "outer optimiser")

    @property
    def classifier_optimizer(self) -> Optimizer:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        return self.inner_optimizer

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step.

        Returns:
            scalars on the device of the batch: ``loss``, g; ``meta_loss``, f; ``gap``, q; ``multiplier``, λ;
            ``gradient_norm`` of the classifier; ``hypergradient_norm``; and the statistics of the latent sites
            (:func:`~vri_pyro.infer.metrics.term_metrics`). If a value is non-finite, nothing is updated.
        """
        for name, batch in (("noisy", noisy), ("clean", clean)):
            check_batch(name, batch, getattr(self.classifier, "num_classes", None))
        forward = ReplayedForward(self.classifier, noisy.x, noisy.index, len(noisy.y))
        return forward.backward(lambda: self._step(forward, noisy.y, clean))

    def _step(self, forward: ReplayedForward, y: Tensor, clean: Batch) -> Metrics:
        states = _random_states(self._weights[0])
        output, terms, here, own = self._at(forward, self._weights, y, [*self._weights, *self._hyper])
        self.check_first_terms()
        inner, outer = own[: len(self._weights)], own[len(self._weights) :]
        there, ahead = self._ahead(forward, y, inner, states)
        gap = [_difference(a, b) for a, b in zip(outer, ahead, strict=True)]
        meta_loss, clean_gradient = self.clean_gradient(forward.named(self._weights), clean)

        inner = [torch.zeros_like(c) if g is None else g for g, c in zip(inner, clean_gradient, strict=True)]
        square = torch.stack([g.square().sum() for g in (*inner, *gap) if g is not None]).sum()
        alignment = torch.stack([(c * g).sum() for c, g in zip(clean_gradient, inner, strict=True)]).sum()
        multiplier = (self.barrier - alignment / square.clamp_min(torch.finfo(square.dtype).tiny)).clamp_min(0)
        hypergradient = [None if g is None else multiplier * g for g in gap]
        gradient = [c + multiplier * g for c, g in zip(clean_gradient, inner, strict=True)]
        metrics = term_metrics(terms) | {
            "meta_loss": meta_loss,
            "gap": here - there,
            "multiplier": multiplier,
            "hypergradient_norm": finite_norm(hypergradient, like=here),
        }
        self._undecided = {name: metrics[name] for name in ("meta_loss", "gap", "multiplier", "hypergradient_norm")}
        real, moved = self.descend_along(forward, here, gradient, self._weights)
        if moved:
            apply_gradients(self.outer_optimizer, self._hyper, hypergradient)
            self.end_step(output, y)
        return metrics | real

    def _at(
        self, forward: ReplayedForward, weights: Sequence[Tensor], y: Tensor, variables: Sequence[Tensor]
    ) -> tuple[ClassifierOutput, ELBOTerms, Tensor, list[Any]]:
        """Output, ELBO terms, g without its graph, and its gradient for ``variables``, None where it is 0."""
        output = forward(weights)
        terms = self.elbo.terms(self.model, self.guide, self._cut.whole(output), y)
        loss = terms.loss(self.kl_weight)
        return output, terms, loss.detach(), mean(autograd.grad(loss, variables, allow_unused=True))

    def _ahead(
        self, forward: ReplayedForward, y: Tensor, gradient: Sequence[Tensor | None], states: list[Tensor]
    ) -> tuple[Tensor, list[Any]]:
        """g at w_T and its gradient with respect to φ.

        Args:
            forward: the forward pass.
            y: the noisy labels.
            gradient: the gradient of g at w with respect to w.
            states: states of the random number generators before g was computed at w.
        """
        rate = learning_rate(self.inner_optimizer) if self.inner_rate is None else self.inner_rate
        moved = [p.detach() for p in self._weights]
        for remaining in reversed(range(self.inner_steps)):
            moved = [p if g is None else (p - rate * g) for p, g in zip(moved, gradient, strict=True)]
            leaves = [p.requires_grad_() for p in moved]
            with _replayed(states, self._weights[0]):
                _, _, loss, gradient = self._at(forward, leaves, y, leaves if remaining else self._hyper)
            moved = [p.detach() for p in leaves]
        return loss, list(gradient)


def _difference(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return first if second is None else -second
    return first - second


def _random_states(like: Tensor) -> list[Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(like.device)] if like.is_cuda else [])]


@contextmanager
def _replayed(states: list[Tensor], like: Tensor) -> Iterator[None]:
    """Context manager that draws the random numbers which follow ``states``; on exit, the generators are as before."""
    with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
        torch.set_rng_state(states[0])
        if like.is_cuda:
            torch.cuda.set_rng_state(states[1], like.device)
        yield


class BOME(Method):
    """BOME: first-order bi-level inference for any model and guide, without second derivatives.

    Builds a :class:`BOMEDescent`. With the model CorrectedCrossEntropy and the guide LabelCorrection, it is the meta
    label correction of MLC, solved by BOME.

    Args:
        model: the generative model, built from (feature_dim, num_classes).
        guide: the amortised posterior, built from (feature_dim, num_classes).
        outer_optimizer: optimiser of guide and prior.
        inner_steps: T, number of gradient steps on the noisy loss that the gap looks ahead; each costs as much as a
            step of cross entropy.
        inner_rate: learning rate of these steps; null for that of the classifier.
        barrier: η, how fast the noisy loss has to fall.
        num_particles: k, number of samples of the guide per example.
        kl_weight: weight of the KL in the noisy loss.
        detach_features: whether guide and prior receive the features detached from the classifier's graph.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy"
    models_noise = True

    def __init__(
        self,
        model: Callable[[int, int], Model],
        guide: Callable[[int, int], Guide],
        outer_optimizer: OptimizerFactory,
        inner_steps: int = 10,
        inner_rate: float | None = None,
        barrier: float = 0.5,
        num_particles: int = 1,
        kl_weight: float = 0.0,
        detach_features: bool = True,
        max_skipped: int = 10,
    ) -> None:
        self.model, self.guide, self.outer_optimizer = model, guide, outer_optimizer
        self.num_particles = num_particles
        self.options: dict[str, Any] = {
            "inner_steps": inner_steps,
            "inner_rate": inner_rate,
            "barrier": barrier,
            "kl_weight": kl_weight,
            "detach_features": detach_features,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> BOMEDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        model, guide = build_pair(self.model, self.guide, classifier)
        return BOMEDescent(
            classifier,
            model,
            guide,
            optimizer(classifier.parameters()),
            self.outer_optimizer([*model.parameters(), *guide.parameters()]),
            elbo=RectificationELBO(self.num_particles),
            **self.options,
        )

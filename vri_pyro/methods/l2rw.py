"""Learning to reweight (L2RW): weights each example by how much a step on it reduces the clean loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, finite_norm
from vri_pyro.infer.cut import ClassifierCut
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.hypergradient import Hypergradient, Inner, Problem, SplitJVP
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.probe import usable_strategy
from vri_pyro.infer.virtual_step import GradientStep
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent


class L2RWDescent(Descent):
    """Minimises Σ w_i CE(F(x_i), y_i) with weights from one gradient step on the clean loss, starting at zero.

    Let θ be the classifier's parameters, θ̂(ε) = θ − Σ ε_i ∇_θ CE(F(x_i), y_i) a plain gradient step, and G the clean
    cross entropy. The weights are

        w_i = max(0, −∂G(θ̂(ε))/∂ε_i at ε = 0) / Σ_j max(0, −∂G(θ̂(ε))/∂ε_j at ε = 0).

    All weights are 0 if no example reduces G. The ε are the hyper-parameters of a bi-level problem with the exact
    hypergradient ∂G/∂ε_i = −⟨∇G(θ), ∇CE_i(θ)⟩. The step size cancels in the weights.

    Args:
        classifier, optimizer: see :class:`Descent`.
        hypergradient: strategy for the hypergradient; SplitJVP if None.
        clean_weight, max_skipped: see :class:`Descent`.

    Reference: Ren et al., Learning to reweight examples for robust deep learning, ICML 2018, algorithm 1.
    """

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        hypergradient: Hypergradient | None = None,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        self._asked = hypergradient
        self.hypergradient = SplitJVP() if hypergradient is None else hypergradient

    def check(self, noisy: Batch, clean: Batch) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        super().check(noisy, clean)
        self.hypergradient = usable_strategy(
            self.classifier, self._asked, noisy, clean, self.clean_gradient, detach_features=True
        )

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step.

        Returns:
            scalars on the device of the batch: ``loss``, ``meta_loss``, ``hypergradient_norm``, ``gradient_norm``, and
            ``kept``, the fraction of the examples with a positive weight.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        epsilon = self.weights[0].new_zeros(len(noisy.y)).requires_grad_()
        problem = self._problem(forward, noisy.y, clean, epsilon)
        result = forward.backward(lambda: self.hypergradient(problem))
        gradient = result.gradients[0]
        weights = epsilon.detach() if gradient is None else example_weights(gradient)
        loss = (weights * F.cross_entropy(result.output.logits, noisy.y, reduction="none")).sum()
        metrics, _ = self.learn(forward, loss, clean)
        return metrics | {
            "meta_loss": result.meta_loss,
            "hypergradient_norm": finite_norm(result.gradients, like=loss),
            "kept": (weights > 0).to(weights).mean(),
        }

    def _problem(self, forward: ReplayedForward, y: Tensor, clean: Batch, epsilon: Tensor) -> Problem:
        def weighted(output: ClassifierOutput) -> Inner:
            return Inner((epsilon * F.cross_entropy(output.logits, y, reduction="none")).mean())

        return Problem(
            parameters=self.weights,
            hyperparameters=[epsilon],
            forward=forward,
            inner=weighted,
            virtual_step=GradientStep(self.weights, rate=1.0),
            meta_gradient=lambda moved: self.clean_gradient(forward.named(moved), clean),
            keep_graph=True,
            cut=ClassifierCut(detach_features=True),
        )


def example_weights(gradient: Tensor) -> Tensor:
    """Normalised weights from the gradient ∂G/∂ε, [batch]: its negative part, divided by the sum; or all zeros."""
    push = (-gradient).clamp_min(0)
    total = push.sum()
    return push / total.where(total != 0, 1)


class L2RW(Method):
    """Learning to reweight (L2RW): weights examples by how much they reduce the clean loss.

    Builds an :class:`L2RWDescent`.

    Args:
        clean_weight: weight of the cross entropy of a clean batch, added to the loss; 0 in the paper.
        hypergradient: strategy for the hypergradient; SplitJVP by default.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy"

    def __init__(
        self, clean_weight: float = CLEAN_WEIGHT, hypergradient: Hypergradient | None = None, max_skipped: int = 10
    ) -> None:
        self.options: dict[str, Any] = {
            "clean_weight": clean_weight,
            "hypergradient": hypergradient,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> L2RWDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return L2RWDescent(classifier, optimizer(classifier.parameters()), **self.options)

"""Two peers that need no library."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, autograd
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional as F

from peers_of_the_engine.peer import ExactPeer
from peers_of_the_engine.task import Task
from vri_pyro.infer.virtual_step import apply_gradients
from vri_pyro.interfaces.classifier import ClassifierOutput


class DoubleBackward(ExactPeer):
    """Differentiates through the virtual step, as the code released with the paper does."""

    def meta_gradient(self) -> Sequence[Tensor]:
        """See :class:`ExactPeer`."""
        task = self.task
        loss, kl = task.terms(task.classifier(task.noisy.x))
        moved = task.moved(list(autograd.grad(loss, task.weights, create_graph=True)))
        clean = functional_call(task.classifier, dict(zip(task.names, moved, strict=True)), (task.clean.x,))
        return autograd.grad(task.outer(clean, kl), task.hyper)


class SplitByHand(ExactPeer):
    """Splits the meta-gradient at the logits and shares the forward pass, as SplitJVP does, without Pyro or checks."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.output: ClassifierOutput | None = None

    def meta_gradient(self) -> Sequence[Tensor]:
        """See :class:`ExactPeer`."""
        task = self.task
        self.output = output = task.classifier(task.noisy.x)
        logits = output.logits.detach().requires_grad_()
        loss, kl = task.terms(output._replace(logits=logits))
        (cotangent,) = autograd.grad(loss, logits, create_graph=True)
        inner = autograd.grad(output.logits, task.weights, cotangent.detach(), retain_graph=True)
        outer = self._outer_gradient(self._moved(inner))
        with torch.no_grad(), forward_ad.dual_level():
            duals = [forward_ad.make_dual(w.detach(), -task.rate * g) for w, g in zip(task.weights, outer, strict=True)]
            tangent = forward_ad.unpack_dual(self._at(duals, task.noisy.x).logits).tangent
        return autograd.grad((cotangent * tangent).sum() + task.kl_weight * kl, task.hyper)

    def real_step(self) -> None:
        """See :class:`ExactPeer`; the forward pass is that of the meta-gradient."""
        task, output = self.task, self.output
        assert output is not None
        loss, _ = task.terms(output)
        apply_gradients(task.inner_optimizer, task.weights, autograd.grad(loss, task.weights))
        self.output = None

    @torch.no_grad()
    def _moved(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        task = self.task
        group, buffers = task.inner_optimizer.param_groups[0], [task.momentum_of(w) for w in task.weights]
        moved = list(torch._foreach_mul(task.weights, 1 - group["lr"] * group["weight_decay"]))
        torch._foreach_add_(moved, gradients, alpha=-group["lr"])
        if buffers[0] is not None:
            torch._foreach_add_(moved, buffers, alpha=-group["lr"] * group["momentum"])
        return moved

    def _outer_gradient(self, moved: list[Tensor]) -> Sequence[Tensor]:
        leaves = [w.requires_grad_() for w in moved]
        clean = self._at(leaves, self.task.clean.x)
        return autograd.grad(F.cross_entropy(clean.logits, self.task.clean.y) / self.task.rate, leaves)

    def _at(self, weights: list[Tensor], x: Tensor) -> ClassifierOutput:
        return functional_call(self.task.classifier, dict(zip(self.task.names, weights, strict=True)), (x,))

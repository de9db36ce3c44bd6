"""The step with ``higher``: a functional copy of the classifier and a differentiable optimiser."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, autograd

from peers_of_the_engine.peer import ExactPeer


class Higher(ExactPeer):
    """Differentiates through one step of higher's SGD."""

    library = "higher"

    def meta_gradient(self) -> Sequence[Tensor]:
        """See :class:`ExactPeer`."""
        import higher

        task = self.task
        with higher.innerloop_ctx(task.classifier, task.inner_optimizer) as (network, optimizer):
            loss, kl = task.terms(network(task.noisy.x))
            optimizer.step(loss)
            return autograd.grad(task.outer(network(task.clean.x), kl), task.hyper)

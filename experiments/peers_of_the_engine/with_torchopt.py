"""The step with TorchOpt's functional SGD, which is also the classifier's optimiser."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, autograd
from torch.func import functional_call

from peers_of_the_engine.peer import ExactPeer
from peers_of_the_engine.task import Task


class TorchOpt(ExactPeer):
    """Differentiates through one update of TorchOpt's SGD."""

    library = "torchopt"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import torchopt

        group = task.inner_optimizer.param_groups[0]
        self.apply = torchopt.apply_updates
        self.sgd = torchopt.sgd(group["lr"], group["momentum"], weight_decay=group["weight_decay"])
        self.state = self.sgd.init(tuple(task.weights))

    def meta_gradient(self) -> Sequence[Tensor]:
        """See :class:`ExactPeer`."""
        task, weights = self.task, tuple(self.task.weights)
        loss, kl = task.terms(task.classifier(task.noisy.x))
        gradients = autograd.grad(loss, weights, create_graph=True)
        updates, _ = self.sgd.update(gradients, self.state, params=weights, inplace=False)
        moved = self.apply(weights, updates, inplace=False)
        clean = functional_call(task.classifier, dict(zip(task.names, moved, strict=True)), (task.clean.x,))
        return autograd.grad(task.outer(clean, kl), task.hyper)

    def real_step(self) -> None:
        """See :class:`ExactPeer`."""
        task, weights = self.task, tuple(self.task.weights)
        loss, _ = task.terms(task.classifier(task.noisy.x))
        updates, self.state = self.sgd.update(autograd.grad(loss, weights), self.state, params=weights, inplace=True)
        self.apply(weights, updates, inplace=True)

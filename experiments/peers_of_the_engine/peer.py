"""Base classes of the peers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, autograd

from peers_of_the_engine.task import Task
from vri_pyro.infer.virtual_step import apply_gradients


class Peer(ABC):
    """Takes the steps of a task.

    Attributes:
        library: package that the peer needs; None for a peer by hand.
        exact: whether its meta-gradient is exact.
    """

    library: ClassVar[str | None] = None
    exact: ClassVar[bool] = True

    def __init__(self, task: Task) -> None:
        self.task = task

    @abstractmethod
    def step(self) -> None:
        """Update guide and prior, then the classifier."""


class ExactPeer(Peer):
    """A peer with a meta-gradient of its own, and a real step that runs the noisy batch again."""

    @abstractmethod
    def meta_gradient(self) -> Sequence[Tensor]:
        """Gradient of the outer objective with respect to φ, as in :attr:`Task.hyper`."""

    def step(self) -> None:
        """See :class:`Peer`."""
        apply_gradients(self.task.outer_optimizer, self.task.hyper, self.meta_gradient())
        self.real_step()

    def real_step(self) -> None:
        """Update the classifier on the rectified loss with the updated guide."""
        task = self.task
        loss, _ = task.terms(task.classifier(task.noisy.x))
        apply_gradients(task.inner_optimizer, task.weights, autograd.grad(loss, task.weights))

"""The step with betty: one unrolled step, and its DARTS approximation of the meta-gradient.

The meta-gradient is not exact. It is a finite difference, and it is taken after the classifier has moved, so that guide
and prior follow one step late. With roll back, the classifier steps a second time, with the updated guide.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.nn import functional as F

from peers_of_the_engine.peer import Peer
from peers_of_the_engine.task import Task


class Betty(Peer):
    """One step of betty's engine without roll back."""

    library, exact = "betty", False
    roll_back: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        from betty.configs import Config, EngineConfig
        from betty.engine import Engine
        from betty.problems import ImplicitProblem

        class Inner(ImplicitProblem):
            def get_batch(self) -> Tensor:
                return task.noisy.x

            def training_step(self, x: Tensor) -> Tensor:
                self.output = self.module(x)
                loss, kl = task.terms(self.output)
                return loss + 0 * kl  # betty requires every parameter of guide and prior in this loss

        class Outer(ImplicitProblem):
            def get_batch(self) -> Tensor:
                return task.clean.x

            def training_step(self, x: Tensor) -> Tensor:
                clean_loss = F.cross_entropy(self.inner.module(x).logits, task.clean.y)
                seen = self.inner.output._replace(features=self.inner.output.features.detach())
                kl = kl_divergence(task.guide.posterior(seen, task.noisy.y), task.model.prior(seen.features)).mean()
                return clean_loss / task.rate + task.kl_weight * kl

        def problem(kind: type, name: str, module: nn.Module, optimizer: Any) -> Any:
            # The outer loss is differentiated twice: with respect to guide and prior, and to the classifier.
            config = Config(type="darts", unroll_steps=1, retain_graph=kind is Outer)
            return kind(name=name, config=config, module=module, optimizer=optimizer, device=task.noisy.x.device)

        inner = problem(Inner, "inner", task.classifier, task.inner_optimizer)
        outer = problem(Outer, "outer", nn.ModuleList([task.model, task.guide]), task.outer_optimizer)
        links = {"u2l": {outer: [inner]}, "l2u": {inner: [outer]}}
        self.engine = Engine([inner, outer], EngineConfig(roll_back=self.roll_back), links)
        self.engine.train()

    def step(self) -> None:
        """See :class:`Peer`."""
        self.engine.train_step()


class BettyRollBack(Betty):
    """One step of betty's engine with roll back."""

    roll_back = True

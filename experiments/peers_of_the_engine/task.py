"""The bi-level problem that all peers solve, and its losses without Pyro."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import Rectification


@dataclass
class Task:
    """Networks, optimisers and batches of a step.

    Attributes:
        classifier: the classifier.
        model, guide: prior and guide of the rectifying vector; a part of the package, called without Pyro.
        inner_optimizer: SGD with momentum and weight decay.
        outer_optimizer: Adam on the parameters of guide and prior.
        noisy, clean: the batches.
        particles: k, number of sampled vectors per example.
        kl_weight: weight of the KL in the outer objective.
    """

    classifier: Classifier
    model: Rectification
    guide: DiagonalNormal
    inner_optimizer: torch.optim.SGD
    outer_optimizer: torch.optim.Adam
    noisy: Batch
    clean: Batch
    particles: int = 2
    kl_weight: float = 1e-3

    @cached_property
    def names(self) -> list[str]:
        """Names of the classifier's parameters."""
        return [name for name, _ in self.classifier.named_parameters()]

    @cached_property
    def weights(self) -> list[Tensor]:
        """w, the classifier's parameters."""
        return list(self.classifier.parameters())

    @cached_property
    def hyper(self) -> list[Tensor]:
        """φ, the parameters of prior and guide."""
        return [*self.model.parameters(), *self.guide.parameters()]

    @property
    def rate(self) -> float:
        """η, the learning rate of the classifier."""
        return self.inner_optimizer.param_groups[0]["lr"]

    def terms(self, output: ClassifierOutput) -> tuple[Tensor, Tensor]:
        """Rectified loss of the noisy batch and KL, per example, [] each; the features are detached."""
        output = output._replace(features=output.features.detach())
        posterior = self.guide.posterior(output, self.noisy.y)
        v = posterior.rsample((self.particles,))
        likelihood = Categorical(logits=self.model.link(v) * output.logits, validate_args=False)
        loss = -likelihood.log_prob(self.noisy.y).mean()
        return loss, kl_divergence(posterior, self.model.prior(output.features)).mean()

    def outer(self, clean_output: ClassifierOutput, kl: Tensor) -> Tensor:
        """Outer objective, []: the clean loss divided by η, plus the weighted KL."""
        return F.cross_entropy(clean_output.logits, self.clean.y) / self.rate + self.kl_weight * kl

    def moved(self, gradients: list[Tensor]) -> list[Tensor]:
        """ŵ, the parameters after the optimiser's next step along ``gradients``, differentiable in them."""
        group = self.inner_optimizer.param_groups[0]
        found = []
        for w, g in zip(self.weights, gradients, strict=True):
            along, buffer = g.add(w.detach(), alpha=group["weight_decay"]), self.momentum_of(w)
            if buffer is not None:
                along = along.add(buffer, alpha=group["momentum"])
            found.append(w.detach().sub(along, alpha=group["lr"]))
        return found

    def momentum_of(self, weight: Tensor) -> Tensor | None:
        """The optimiser's momentum buffer of a parameter; None before its first step."""
        return self.inner_optimizer.state.get(weight, {}).get("momentum_buffer")

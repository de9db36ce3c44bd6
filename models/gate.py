"""A latent weight per example, by which the likelihood of its label counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn


class Gate(nn.Module):
    """g ~ Normal(μ, 1) with a learned μ;  the label's log-likelihood is multiplied by sigmoid(g), per example.

    Weights are divided by their mean over the batch, as in MW-Net (Shu et al. 2019): switching examples off then
    gives the others more weight instead of slowing the classifier down, and a guide gains nothing by switching off all.

    Args:
        location: what μ begins at; 0 means a weight of one half, before normalisation.
        name: of the latent site; the weight's is "weight", after the same prefix if it has one.
    """

    def __init__(self, location: float = 0.0, name: str = "gate") -> None:
        super().__init__()
        self.name = name
        self.location = nn.Parameter(torch.tensor(location))

    @contextmanager
    def scaled(self, size: int, offset: Tensor | float = 0.0) -> Iterator[Tensor]:
        """Sample the latent site [batch] inside the data plate, and scale the sites sampled within by it.

        Args:
            size: of the batch.
            offset: what is added to each example's gate, [batch]: the weight's logit where the gate is 0.
        """
        gate = pyro.sample(self.name, dist.Normal(self.location.expand(size), 1.0))
        weight = (gate + offset).sigmoid()
        weight = pyro.deterministic(
            self.name.replace("gate", "weight"), weight / weight.mean(-1, keepdim=True), event_dim=0
        )
        with poutine.scale(scale=weight):
            yield weight

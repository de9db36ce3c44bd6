"""Gate: a latent weight per example on the log-likelihood of its label."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn


class Gate(nn.Module):
    """Latent gate g ~ Normal(μ, 1) per example, with learned μ; sigmoid(g) weights the log-likelihood of the label.

    Weights are divided by their mean over the batch, as in MW-Net (Shu et al. 2019). Switching examples off therefore
    gives the others more weight instead of slowing down the classifier, and a guide gains nothing by switching off all
    examples.

    Args:
        location: initial value of μ; 0 corresponds to a weight of one half before normalisation.
        name: name of the latent site. The site of the weight has the same name with "weight" in place of "gate".
    """

    def __init__(self, location: float = 0.0, name: str = "gate") -> None:
        super().__init__()
        self.name = name
        self.location = nn.Parameter(torch.tensor(location))

    @contextmanager
    def scaled(self, size: int, offset: Tensor | float = 0.0) -> Iterator[Tensor]:
        """Context manager that samples the gates and scales the sites sampled inside it by the weights.

        Enter it inside the data plate.

        Args:
            size: number of examples in the batch.
            offset: value added to each gate, [batch] or a number; it is the logit of the weight if the gate is 0.

        Yields:
            the weights, divided by their mean over the batch, [batch].
        """
        gate = pyro.sample(self.name, dist.Normal(self.location.expand(size), 1.0))
        weight = (gate + offset).sigmoid()
        weight = pyro.deterministic(
            self.name.replace("gate", "weight"), weight / weight.mean(-1, keepdim=True), event_dim=0
        )
        with poutine.scale(scale=weight):
            yield weight

"""Gate: a latent weight per example on the log-likelihood of its label."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from vri_pyro.utils.errors import UserError

#: What divides the sum of the weighted losses of a batch.
Normaliser = Literal["batch_sum", "batch_size"]


class Gate(nn.Module):
    """Latent gate g ~ Normal(μ, 1) per example, with learned μ; sigmoid(g) weights the log-likelihood of the label.

    By default, weights are divided by their mean over the batch, so that the loss of a batch is divided by the sum of
    its weights ("batch_sum"). Switching some examples off therefore increases the weights of the others and does not
    slow down the classifier. Switching all examples off has no effect. With "batch_size", weights are used as they are.
    Switching examples off then also shortens the classifier's step.

    Args:
        location: initial value of μ; 0 corresponds to a weight of one half before normalisation.
        name: name of the latent site. The site of the weight has the same name with "weight" in place of "gate".
        normalise: what divides the sum of the weighted losses, "batch_sum" or "batch_size"; see above.

    Raises:
        UserError: ``normalise`` is neither.
    """

    def __init__(self, location: float = 0.0, name: str = "gate", normalise: Normaliser = "batch_sum") -> None:
        super().__init__()
        if normalise not in get_args(Normaliser):
            raise UserError(f"normalise is {normalise!r}; expected one of {', '.join(get_args(Normaliser))}")
        self.name, self.normalise = name, normalise
        self.location = nn.Parameter(torch.tensor(location))

    @contextmanager
    def scaled(self, size: int, offset: Tensor | float = 0.0) -> Iterator[Tensor]:
        """Context manager that samples the gates and scales the sites sampled inside it by the weights.

        Enter it inside the data plate.

        Args:
            size: number of examples in the batch.
            offset: value added to each gate, [batch] or a number; it is the logit of the weight if the gate is 0.

        Yields:
            the weights, normalised, [batch].
        """
        gate = pyro.sample(self.name, dist.Normal(self.location.expand(size), 1.0))
        weight = (gate + offset).sigmoid()
        if self.normalise == "batch_sum":
            weight = weight / weight.mean(-1, keepdim=True)
        weight = pyro.deterministic(self.name.replace("gate", "weight"), weight, event_dim=0)
        with poutine.scale(scale=weight):
            yield weight

"""Distribution of a given label when the true label is summed out."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from vri_pyro.interfaces.transition_likelihood import log_transition, noisy_log_probabilities


class GivenLabel(TorchDistribution):
    """Distribution of the given label ỹ: p(ỹ | x) = Σ_c softmax(F(x))_c T[c, ỹ].

    Equal to ``Categorical(logits=noisy_log_probabilities(logits, transition))``, but the log-probability of a label
    takes one column of T for each example: K terms instead of K².

    Args:
        logits: logits of the true class, [..., K].
        transition: T[c, k], the probability that an example of class c has the given label k, [..., K, K]; its leading
            dimensions broadcast with those of ``logits`` [...].

    Reference: Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - PyTorch's name and type
    has_enumerate_support = True

    def __init__(self, logits: Tensor, transition: Tensor) -> None:
        self._true, self._transition = logits, transition
        batch_shape = torch.broadcast_shapes(logits.shape[:-1], transition.shape[:-2])
        super().__init__(batch_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """Class numbers 0 to K - 1."""
        return constraints.integer_interval(0, self._true.shape[-1] - 1)

    @cached_property
    def logits(self) -> Tensor:
        """Log-probabilities of every label, [..., K]."""
        found = noisy_log_probabilities(self._true, self._transition)
        return found.expand(*self.batch_shape, found.shape[-1])

    @property
    def probs(self) -> Tensor:
        """Probabilities of every label, [..., K]."""
        return self.logits.softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of labels ``value``, int64 [...], in the broadcast shape of labels and distribution."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        of_label = log_transition(self._transition).mT  # [..., K, K], row k holds log T[·, k]
        leading = of_label.shape[:-2]
        places = [
            torch.arange(size, device=value.device).reshape(size, *(1 for _ in leading[dim + 1 :]))
            for dim, size in enumerate(leading)
        ]
        columns = of_label[(*places, value)]
        return torch.logsumexp(self._true.log_softmax(-1) + columns, dim=-1).expand(shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw labels, int64 [*sample_shape, ...]."""
        return torch.distributions.Categorical(logits=self.logits, validate_args=False).sample(sample_shape)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all class numbers, [K, ...]."""
        values = torch.arange(self._true.shape[-1], device=self._true.device)
        values = values.reshape(-1, *(1 for _ in self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values

    def expand(self, batch_shape: Any, _instance: Any = None) -> GivenLabel:
        """See ``torch.distributions.Distribution``."""
        shape = torch.Size(batch_shape)
        return GivenLabel(self._true.expand(*shape, self._true.shape[-1]), self._transition)

"""A true class behind the given label, by a transition matrix that is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from vri_pyro.data import TransitionMatrix, generator_for
from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.transition_likelihood import noisy_log_probabilities


class ForwardCorrection(Model):
    """y ~ Categorical(probs = softmax(F(x))ᵀ T), the true class summed out; pairs with ``NoLatents``.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        matrix: T[c, k], the probability that a label of class c is given as k, [K, K] with rows that sum to one:
            numbers, row by row, or the path of a file, .npy or .csv, as the noise ``TransitionMatrix`` takes it.

    Raises:
        UserError: the file is unusable, or the matrix is no transition matrix of K classes.

    Reference: Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017,
        with a given matrix.
    """

    transition: Tensor

    def __init__(self, feature_dim: int, num_classes: int, matrix: Sequence[Sequence[float]] | str | Path) -> None:
        super().__init__()
        transition = TransitionMatrix(matrix).transition(num_classes, generator_for(0))  # which draws nothing
        self.register_buffer("transition", torch.tensor(transition, dtype=torch.get_default_dtype()))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`."""
        with pyro.plate("data", output.logits.shape[0]):
            logits = noisy_log_probabilities(output.logits, self.transition)
            return pyro.sample("y", dist.Categorical(logits=logits), obs=y)

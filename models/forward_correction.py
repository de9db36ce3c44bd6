"""Forward correction with a known transition matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyro
import torch
from torch import Tensor

from vri_pyro.data import TransitionMatrix, generator_for
from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.given_label import GivenLabel


class ForwardCorrection(Model):
    """Forward correction with a known matrix T: y ~ Categorical(probs = softmax(F(x))ᵀ T).

    The true class is summed out. Pairs with :class:`vri_pyro.guides.NoLatents`.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        matrix: T[c, k], the probability that an example of class c has the given label k, [K, K] with rows that sum to
            one. Either numbers, row by row, or the path of a .npy or .csv file, as for the noise ``TransitionMatrix``.

    Raises:
        UserError: the file cannot be used, or the matrix is not a transition matrix of K classes.

    Reference: Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017,
        with a given matrix.
    """

    transition: Tensor

    def __init__(self, feature_dim: int, num_classes: int, matrix: Sequence[Sequence[float]] | str | Path) -> None:
        super().__init__()
        transition = TransitionMatrix(matrix).transition(num_classes, generator_for(0))  # the generator is not used
        self.register_buffer("transition", torch.tensor(transition, dtype=torch.get_default_dtype()))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`."""
        with pyro.plate("data", output.logits.shape[0]):
            return pyro.sample("y", GivenLabel(output.logits, self.transition), obs=y)

"""Example of a custom prior and a custom guide, selected on the command line.

    python experiments/own_prior_and_guide.py [--seed 1] [any option of vri-pyro fit]

is equivalent to the following command in the folder of this file:

    vri-pyro fit --config configs/vri_vector.yaml \\
        --method.model.prior own_prior_and_guide.LaplacePrior --method.model.prior.scale 2 \\
        --method.guide own_prior_and_guide.AgreementGuide

The model of this configuration has the rectifying vector as its only latent variable, and so does this guide. Prior and
guide are constructed with (feature_dim, num_classes). Further arguments with defaults become options. Distributions
have batch shape [batch] and event shape [classes]. No closed-form KL is required: for this pair, the KL is estimated by
Monte Carlo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vri_pyro.cli.main import main
from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput


class LaplacePrior(Prior):
    """Laplace prior p(v | x) = Laplace(m, scale) with a learned location m that is the same for every example.

    Its tails are heavier than those of a normal prior.

    Args:
        feature_dim: number of features D; not used.
        num_classes: number of classes K.
        scale: scale of every entry.
    """

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.location, self.scale = nn.Parameter(torch.zeros(num_classes)), scale

    def forward(self, features: Tensor) -> dist.Distribution:
        """Return the prior of each example, given the features [batch, D]."""
        location = self.location.expand(len(features), -1)
        return dist.Laplace(location, torch.full_like(location, self.scale)).to_event(1)


class AgreementGuide(Guide):
    """Normal guide q(v | x, y) = Normal(a_y + b_y log p(y | x), s_y²).

    Each class y has the learned vectors a_y, b_y and s_y. p(y | x) is the classifier's probability of the given label.

    Args:
        feature_dim: number of features D; not used.
        num_classes: number of classes K.
        start: initial value of every entry of s.
    """

    def __init__(self, feature_dim: int, num_classes: int, start: float = 0.5) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.eye(num_classes))
        self.slope = nn.Parameter(torch.zeros(num_classes, num_classes))
        self.log_scale = nn.Parameter(torch.full((num_classes, num_classes), start).log())

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """Sample the site ``v`` [batch, K] in the plate ``data``."""
        agreement = output.logits.detach().log_softmax(-1).gather(-1, y[:, None])
        location = self.offset[y] + self.slope[y] * agreement
        with pyro.plate("data", len(y)):
            return pyro.sample("v", dist.Normal(location, self.log_scale[y].exp()).to_event(1))


OPTIONS = (
    *("--config", str(Path(__file__).parent / "configs" / "vri_vector.yaml")),
    *("--method.model.prior", "own_prior_and_guide.LaplacePrior", "--method.model.prior.scale", "2"),
    *("--method.guide", "own_prior_and_guide.AgreementGuide"),
)

if __name__ == "__main__":
    sys.exit(main(["fit", *OPTIONS, *sys.argv[1:]]))

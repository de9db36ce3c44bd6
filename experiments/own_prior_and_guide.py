"""A prior and a guide of one's own, in one file, chosen from the command line.

    python experiments/own_prior_and_guide.py [--seed 1] [any option of vri-pyro fit]

does the same as this, in the folder of the file:

    vri-pyro fit --config configs/vri_vector.yaml \\
        --method.model.prior own_prior_and_guide.LaplacePrior --method.model.prior.scale 2 \\
        --method.guide own_prior_and_guide.AgreementGuide

That configuration's model has the vector alone, and so has this guide. Both are built from (feature_dim, num_classes);
further arguments with defaults are options. Distributions have the batch shape [batch] and the event shape [classes].
No closed form is needed: this KL is estimated by Monte Carlo.
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
    """p(v | x) = Laplace(m, scale), the same for every example: vectors far out are rare, but not as rare as normally.

    Args:
        feature_dim: D; not used.
        num_classes: K.
        scale: of every entry.
    """

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.location, self.scale = nn.Parameter(torch.zeros(num_classes)), scale

    def forward(self, features: Tensor) -> dist.Distribution:
        """The prior of each example, from its features [batch, D]."""
        location = self.location.expand(len(features), -1)
        return dist.Laplace(location, torch.full_like(location, self.scale)).to_event(1)


class AgreementGuide(Guide):
    """q(v | x, y) = Normal(a_y + b_y log p(y | x), s_y²): vectors a, b and s a class, and the classifier's p(y | x).

    Args:
        feature_dim: D; not used.
        num_classes: K.
        start: of every s.
    """

    def __init__(self, feature_dim: int, num_classes: int, start: float = 0.5) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.eye(num_classes))
        self.slope = nn.Parameter(torch.zeros(num_classes, num_classes))
        self.log_scale = nn.Parameter(torch.full((num_classes, num_classes), start).log())

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """Sample the site ``v`` [batch, K] inside the plate of the data."""
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

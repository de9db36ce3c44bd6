"""Gates: weights learned from a small clean set separate wrong labels from right ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from infer.toys import CLASSES, INPUTS, Dense
from pyro import poutine
from torch import Tensor

from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal, Gated, ScalarWeight
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.models import GatedRectification, PriorNetwork, WeightedCrossEntropy

COUNT = 300


def _blobs(count: int) -> tuple[Tensor, Tensor]:
    centres = 3.0 * torch.eye(CLASSES, INPUTS)
    y = torch.arange(count) % CLASSES
    return centres[y] + torch.randn(count, INPUTS), y


def _after_training(model: Model, guide: Guide, clean_weight: float) -> tuple[Tensor, Tensor]:
    """The mean gate of each noisy example after training, and whether its label is right."""
    x, truth = _blobs(COUNT)
    wrong = torch.rand(COUNT) < 0.4
    noisy = torch.where(wrong, (truth + torch.randint(1, CLASSES, (COUNT,))) % CLASSES, truth)
    clean = Batch(*_blobs(30))
    classifier = Dense()
    svi = BilevelSVI(
        classifier,
        model,
        guide,
        torch.optim.SGD(classifier.parameters(), lr=0.3),
        torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=1e-2),
        elbo=RectificationELBO(num_particles=2),
        clean_weight=clean_weight,
    )
    for _ in range(150):
        chosen = torch.randint(COUNT, (60,))
        svi.step(Batch(x[chosen], noisy[chosen]), clean)
    with torch.no_grad():
        trace = poutine.trace(guide).get_trace(classifier(x), noisy)
    return trace.nodes["gate"]["fn"].mean.sigmoid(), ~wrong


PAIRS: dict[str, tuple[Callable[[int, int], Model], Callable[[int, int], Guide]]] = {
    "MW-Net": (WeightedCrossEntropy, ScalarWeight),
    "MW-Net with uncertainty": (WeightedCrossEntropy, partial(ScalarWeight, dirac=False)),
    "gated rectification": (
        partial(GatedRectification, prior=partial(PriorNetwork, hidden=(8,))),
        partial(Gated, vector=partial(DiagonalNormal, hidden=(8,))),
    ),
}


@pytest.mark.parametrize("clean_weight", [0.0, 1.0])
@pytest.mark.parametrize("name", PAIRS)
def test_right_labels_weigh_more_than_wrong_ones(name: str, clean_weight: float) -> None:
    torch.manual_seed(0)
    model, guide = PAIRS[name]
    feature_dim = Dense().feature_dim
    weights, right = _after_training(model(feature_dim, CLASSES), guide(feature_dim, CLASSES), clean_weight)
    # AUROC: the share of (right, wrong) pairs in which the right label has the larger weight.
    area = (weights[right][:, None] > weights[~right]).double().mean()
    assert area > 0.85

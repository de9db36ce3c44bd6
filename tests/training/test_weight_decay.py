"""Weight decay of the classifier's weights, but not of its biases."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD

from vri_pyro.backbones import MLP
from vri_pyro.training import Trunk
from vri_pyro.training.weight_decay import with_weight_decay

sgd = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.3)


def _decays(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


def test_weights_are_decayed_and_biases_are_not() -> None:
    network = MLP((5,), 3, hidden=(4,))
    decays = _decays(with_weight_decay(sgd, network, 0.02)(network.parameters()))
    assert {name: decays[id(p)] for name, p in network.named_parameters()} == {
        name: 0.0 if name.endswith("bias") else 0.02 for name, _ in network.named_parameters()
    }


def test_parameters_of_a_guide_keep_the_decay_of_the_optimiser() -> None:
    network, guide = MLP((5,), 3, hidden=()), nn.Linear(3, 3)
    decays = _decays(with_weight_decay(sgd, network, 0.02)([*network.parameters(), *guide.parameters()]))
    assert {decays[id(p)] for p in guide.parameters()} == {0.3}
    assert len(decays) == 4


@pytest.mark.parametrize(("decay", "rate"), [(0.0, 0.1), (0.5, 0.1), (2.0, 0.025)])
def test_a_step_shrinks_the_weights_by_at_most_a_twentieth(decay: float, rate: float) -> None:
    network = MLP((5,), 3, hidden=())
    optimizer = with_weight_decay(sgd, network, decay)(network.parameters())
    assert {group["lr"] for group in optimizer.param_groups} == {rate}


def test_trunk_and_head_keep_their_learning_rates() -> None:
    network = MLP((5,), 3, hidden=(4,))
    optimizer = Trunk(lr_factor=0.1).optimizer(with_weight_decay(sgd, network, 0.02), network)(network.parameters())
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert {found[id(p)] for p in network.head.parameters()} == {(0.1, 0.02), (0.1, 0.0)}
    assert len(found) == 4
    assert sorted(set(found.values())) == [
        (pytest.approx(0.01), 0.0),
        (pytest.approx(0.01), 0.02),
        (0.1, 0.0),
        (0.1, 0.02),
    ]

"""The mixture of several classifiers' predictions."""

from __future__ import annotations

import torch

from vri_pyro.backbones import MLP
from vri_pyro.training.mixture import Mixture


def test_class_probabilities_are_the_weighted_mean_of_scaled_members() -> None:
    members = [MLP((6,), 3, hidden=(4,)).double(), MLP((6,), 3, hidden=()).double()]
    mixture = Mixture(members, weights=[0.3, 0.7], scales=[2.0, 0.5])
    x = torch.randn(5, 6, dtype=torch.float64)
    first, second = (member(x) for member in members)
    expected = 0.3 * (2 * first.logits).softmax(-1) + 0.7 * (0.5 * second.logits).softmax(-1)
    torch.testing.assert_close(mixture(x).logits.exp(), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(mixture(x).features, torch.cat([first.features, second.features], dim=-1))
    assert (mixture.feature_dim, mixture.num_classes) == (10, 3)


def test_a_single_member_is_scaled() -> None:
    member = MLP((6,), 3, hidden=())
    x = torch.randn(5, 6)
    found = Mixture([member], weights=[1.0], scales=[2.0])(x).logits
    torch.testing.assert_close(found, (2 * member(x).logits).log_softmax(-1))

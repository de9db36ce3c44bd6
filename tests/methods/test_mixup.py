"""mixup: inputs and losses are mixed with the same weight."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from infer.toys import CLASSES, IMAGE, Convolutional, Dense, batch
from torch.distributions import Beta
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.methods import Mixup
from vri_pyro.methods.mixup import MixupDescent
from vri_pyro.utils.errors import UserError


def test_step_minimises_the_cross_entropy_of_mixed_inputs_and_labels() -> None:
    classifier, noisy = Dense(), batch(7)
    reference = copy.deepcopy(classifier)
    torch.manual_seed(3)
    algorithm = MixupDescent(classifier, SGD(classifier.parameters(), lr=0.1), alpha=0.7, clean_weight=0.0)
    metrics = algorithm.step(noisy, noisy)

    torch.manual_seed(3)
    share, partner = Beta(0.7, 0.7).sample(), torch.randperm(7)
    assert 0 < share < 1
    assert not torch.equal(partner, torch.arange(7))
    labels = F.one_hot(noisy.y, CLASSES).double()
    mixed = share * noisy.x + (1 - share) * noisy.x[partner]
    loss = F.cross_entropy(reference(mixed).logits, share * labels + (1 - share) * labels[partner])
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    torch.testing.assert_close(metrics["loss"], loss.detach())
    for p, before, g in zip(classifier.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.detach(), before.detach() - 0.1 * g)


def test_mixing_weight_is_drawn_for_every_batch() -> None:
    classifier, noisy = Dense(), batch(7)
    algorithm = MixupDescent(classifier, SGD(classifier.parameters(), lr=0.0), alpha=1.0)
    losses = torch.stack([algorithm.step(noisy, noisy)["loss"] for _ in range(5)])
    assert losses.unique().numel() == 5


def test_images_are_mixed() -> None:
    classifier, noisy = Convolutional(), batch(7, IMAGE)
    assert MixupDescent(classifier, SGD(classifier.parameters(), lr=0.1)).step(noisy, noisy)["loss"].isfinite()


def test_default_alpha_is_one_and_zero_raises() -> None:
    optimizer = partial(SGD, lr=0.1)
    assert Mixup().build(Dense(), optimizer).alpha == 1.0
    with pytest.raises(UserError, match="alpha is 0"):
        Mixup(alpha=0.0).build(Dense(), optimizer)

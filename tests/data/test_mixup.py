"""Mixup with unmixed labels: same expected loss as mixed losses, distribution of weights, dtypes and errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta

from vri_pyro.data import Mixup, generator_for
from vri_pyro.utils.errors import UserError


@pytest.mark.parametrize("alpha", [0.4, 1.0, 4.0])
def test_keeping_the_label_has_the_expected_loss_of_mixing_the_losses(alpha: float) -> None:
    def loss(mixed: float, label: float) -> float:
        return float(np.logaddexp(0, -label * (2 * mixed - 0.5)))  # logistic loss, as an example

    (x, y), (other_x, other_y) = (1.0, 1.0), (-0.7, -1.0)

    def mixed_losses(weight: float) -> float:
        at = weight * x + (1 - weight) * other_x
        return weight * loss(at, y) + (1 - weight) * loss(at, other_y)

    def kept(weight: float) -> float:
        first, second = weight * x + (1 - weight) * other_x, weight * other_x + (1 - weight) * x
        return (loss(first, y) + loss(second, other_y)) / 2  # each label is kept with equal probability

    expected = quad(lambda w: beta.pdf(w, alpha, alpha) * mixed_losses(w), 0, 1)[0]
    assert quad(lambda w: beta.pdf(w, alpha + 1, alpha) * kept(w), 0, 1)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_weights_are_drawn_from_the_tilted_beta_one_an_image(alpha: float) -> None:
    mixed = Mixup(alpha)(torch.eye(4000), generator_for(0))  # the diagonal of the result is each vector's own weight
    for bound in (0.2, 0.5, 0.8, 0.95):
        share = (mixed.diagonal() <= bound).float().mean().item()
        assert share == pytest.approx(beta.cdf(bound, alpha + 1, alpha), abs=0.02)
    torch.testing.assert_close(mixed.sum(1), torch.ones(4000))
    assert ((mixed > 0).sum(1) <= 2).all()


def test_images_keep_their_dtype_and_the_seed_decides_everything() -> None:
    images = torch.from_numpy((generator_for(1).random((6, 3, 8, 8)) * 255).astype(np.uint8))
    kept = images.clone()
    first, again = (Mixup(1.0)(images, generator_for(3)) for _ in range(2))
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert torch.equal(images, kept)
    assert not torch.equal(first, images)
    assert (first >= images.amin(0)).all()
    assert (first <= images.amax(0)).all()


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match=r"Mixup got alpha .*; expected a finite value > 0"):
        Mixup(alpha)

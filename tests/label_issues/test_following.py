"""Tests of the bound of the share of labels that a classifier follows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.label_issues.following import Agreement, most_followed

CLASSES, SIZE, HELD = 4, 3000, 200


def _predictions(decided: Tensor) -> Tensor:
    return 0.6 * F.one_hot(decided, CLASSES).double() + 0.1


def _run(followed: float, error: float = 0.2, seed: int = 0, worse: float = 0.0) -> tuple[Agreement, Agreement]:
    """Simulate a classifier that follows a share of the correct labels, and neighbours that follow a third of these.

    ``worse`` is how much more often the classifier errs than the neighbours, before it follows labels.
    """
    generator = torch.Generator().manual_seed(seed)

    def decided(truth: Tensor, rate: float) -> Tensor:
        wrong = torch.rand(len(truth), generator=generator) < rate
        return torch.where(
            wrong, (truth + torch.randint(1, CLASSES, truth.shape, generator=generator)) % CLASSES, truth
        )

    truth, other = (torch.arange(count) % CLASSES for count in (SIZE, HELD))
    given = torch.where(torch.rand(SIZE, generator=generator) < 0.3, (truth + 1) % CLASSES, truth)
    base = decided(truth, error)
    own = torch.where(torch.rand(SIZE, generator=generator) < worse, (base + 1) % CLASSES, base)
    chance = torch.rand(SIZE, generator=generator)
    own, around = (torch.where(chance < share, given, k) for share, k in ((followed, own), (followed / 3, base)))
    held = decided(other, error)
    held_own = torch.where(torch.rand(HELD, generator=generator) < worse, (held + 1) % CLASSES, held)
    noisy = Agreement.of(_predictions(own), _predictions(around), given)
    return noisy, Agreement.of(_predictions(held_own), _predictions(held), other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("followed", "worse"), [(0.3, 0.0), (0.5, 0.0), (0.5, 0.25), (0.9, 0.0)])
def test_bound_is_above_the_share_that_is_followed(followed: float, worse: float, seed: int) -> None:
    assert most_followed(*_run(followed, seed=seed, worse=worse)) > followed


def test_bound_is_small_if_no_label_is_followed_and_never_zero() -> None:
    assert most_followed(*_run(0.0)) == pytest.approx(0.3)
    same = Agreement(0.7, 0.0, 0.0)
    assert most_followed(same, same) == 0.3


def test_agreement_is_that_of_the_decisions() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    found = Agreement.of(_predictions(labels), _predictions(torch.tensor([0, 1, 0, 0])), labels)
    assert found.own == 1
    assert found.excess == 0.5
    assert found.error == pytest.approx(0.25)

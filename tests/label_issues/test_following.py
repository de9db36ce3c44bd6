"""Tests of the bound of the share of labels that a classifier follows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.label_issues import Evidence, Trusted, rank, transition_posterior
from vri_pyro.label_issues.beliefs import beliefs, consulted
from vri_pyro.label_issues.following import OwnAndNeighbours, most_followed

CLASSES, SIZE, HELD = 4, 3000, 200


def _predictions(decided: Tensor) -> Tensor:
    return 0.6 * F.one_hot(decided, CLASSES).double() + 0.1


def _run(followed: float, error: float = 0.2, seed: int = 0, worse: float = 0.0) -> tuple[OwnAndNeighbours, ...]:
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
    noisy = OwnAndNeighbours.of(_predictions(own), _predictions(around), given)
    return noisy, OwnAndNeighbours.of(_predictions(held_own), _predictions(held), other)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("followed", "worse"), [(0.3, 0.0), (0.5, 0.0), (0.5, 0.25), (0.9, 0.0)])
def test_bound_is_above_the_share_that_is_followed(followed: float, worse: float, seed: int) -> None:
    assert most_followed(*_run(followed, seed=seed, worse=worse)) > followed


def test_bound_is_small_if_no_label_is_followed_and_never_zero() -> None:
    assert most_followed(*_run(0.0)) == pytest.approx(0.3)
    same = OwnAndNeighbours(0.7, 0.0, 0.0)
    assert most_followed(same, same) == 0.3


def test_agreement_is_that_of_the_decisions() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    found = OwnAndNeighbours.of(_predictions(labels), _predictions(torch.tensor([0, 1, 0, 0])), labels)
    assert found.own == 1
    assert found.excess == 0.5
    assert found.error == pytest.approx(0.25)


def test_posterior_of_a_run_takes_the_bound() -> None:
    generator = torch.Generator().manual_seed(4)
    truth = torch.arange(600) % CLASSES
    x = 2 * F.one_hot(truth, CLASSES).double() + 0.7 * torch.randn(600, CLASSES, generator=generator)
    given = torch.where(torch.rand(500, generator=generator) < 0.3, (truth[:500] + 1) % CLASSES, truth[:500])
    known = Trusted(3 * x[500:], x[500:], truth[500:], held_out=100)
    evidence = Evidence(given, 3 * x[:500], x[:500], known)
    seen = consulted(evidence, beliefs(evidence), 20, None, 0)
    assert seen.held_out is not None
    assert seen.most_followed < 0.8
    issues = rank(evidence, draws=40)
    decided = seen.held_out[0].argmax(-1), seen.held_out[1]
    none = issues.joint.none
    found = [
        transition_posterior(
            seen.p, given, torch.from_numpy(1 - none), decided, True, 40, 0, most_followed=most
        ).transition
        for most in (seen.most_followed, 1.0)
    ]
    assert torch.equal(issues.transition.transition, found[0])
    assert not torch.equal(issues.transition.transition, found[1])

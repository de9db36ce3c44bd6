"""The sampler against simulation: truths drawn from its own priors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import kstest

from vri_pyro.label_issues import two_observers
from vri_pyro.label_issues.two_observers import TwoObservers, _log_evidence


class Truth(NamedTuple):
    """What the priors and the model drew, and what is observed of it."""

    share: np.ndarray
    confusion: np.ndarray
    transition: np.ndarray
    right: int
    observers: TwoObservers


def matrix(generator: np.random.Generator, rates: np.ndarray, tie: float, shapes: np.ndarray) -> np.ndarray:
    """A matrix whose rows err at some rates, [K], in some shapes, [K, K - 1]."""
    classes = len(rates)
    drawn = np.zeros((classes, classes))
    for c in range(classes):
        wrong = np.clip(generator.beta(tie * rates[c], tie * (1 - rates[c])), 1e-40, 1 - 1e-15)
        drawn[c, np.arange(classes) != c] = wrong * generator.dirichlet(shapes[c])
        drawn[c, c] = 1 - wrong
    return drawn


def observed(
    generator: np.random.Generator, size: int, classes: int, follows: tuple[float, float] = (0.0, 0.0)
) -> Truth:
    """Data drawn from the priors, where some right and some wrong labels are followed."""
    own = generator.dirichlet(np.ones(classes), classes) + 4 * np.eye(classes)
    own /= own.sum(1, keepdims=True)
    off = own[~np.eye(classes, dtype=bool)].reshape(classes, classes - 1)
    likely = np.exp(-(two_observers._OFTENER**2) / (2 * two_observers._DOUBT**2))
    oftener = generator.choice(two_observers._OFTENER, p=likely / likely.sum())
    trust, spread, rate, tie, another = (
        generator.choice(grid)
        for grid in (
            two_observers._TRUST,
            two_observers._SPREADS,
            two_observers._RATES,
            two_observers._TIES,
            two_observers._TIES,
        )
    )
    share = generator.dirichlet(np.ones(classes))
    errors = expit(logit(1 - np.diag(own)) + oftener)
    confusion = matrix(generator, errors, another, trust * off / off.sum(1, keepdims=True))
    transition = matrix(generator, np.full(classes, rate), tie, np.full((classes, classes - 1), spread))
    truth = generator.choice(classes, size, p=share)
    decided, given = (of(generator, rows[truth]) for rows in (confusion, transition))
    learned = generator.random(size) < np.where(given == truth, *follows)
    decided[learned] = given[learned]
    trusted = np.stack([generator.multinomial(15, row) for row in confusion]).astype(float)
    observers = TwoObservers(decided, given, own, trusted, generator)
    return Truth(share, confusion, transition, int((truth == given).sum()), observers)


def of(generator: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """A class by each row."""
    drawn = (generator.random((len(probabilities), 1)) > probabilities.cumsum(1)).sum(1)
    return np.minimum(drawn, probabilities.shape[1] - 1)


def test_ranks_of_truths_drawn_from_the_priors_are_uniform() -> None:
    ranks, entries = [], []
    for trial in range(40):
        generator = np.random.default_rng(trial)
        truth = observed(generator, 200, 3)
        matrices, found = truth.observers.sample(60, 20, follows=False)
        ranks.append(np.mean(found + generator.random(60) < truth.right + generator.random()))
        entries.append(np.mean(matrices[:, 0, 1] < truth.transition[0, 1]))
    assert kstest(ranks, "uniform").pvalue > 0.01
    assert kstest(entries, "uniform").pvalue > 0.01


@pytest.mark.parametrize("follows", [None, (0.8, 0.4)])
def test_sweeps_leave_the_posterior_as_it_is(follows: tuple[float, float] | None) -> None:
    def statistics(share: np.ndarray, m: np.ndarray, t: np.ndarray, right: float) -> list[float]:
        products = [m[0, 0] * m[1, 1], m[0, 1] * m[0, 2], t[0, 0] * t[1, 1], t[0, 1] * t[0, 2], t[0, 0] * m[0, 0]]
        return [share[0], share[0] ** 2, m[0, 0], m[0, 1], t[0, 0], t[0, 1], right, right**2, *products]

    generator = np.random.default_rng(5)
    changes = []
    for _ in range(600):
        truth = observed(generator, 60, 3, follows or (0.0, 0.0))
        followed = None if follows is None else np.where(truth.observers._by_label, *follows)[None]
        parts = (truth.share[None], truth.confusion[None] + 1e-60, truth.transition[None] + 1e-60)
        state = two_observers._Chains(*parts, np.zeros(1))
        for _ in range(4):
            state = truth.observers._sweep(state, followed)
        after = statistics(state.share[0], state.confusion[0], state.transition[0], state.right[0])
        changes.append(np.array(after) - statistics(truth.share, truth.confusion, truth.transition, truth.right))
    gathered = np.stack(changes)
    errors = gathered.std(0) / len(gathered) ** 0.5
    assert np.abs(gathered.mean(0) / errors).max() < 3.5


@pytest.mark.parametrize("width", [2, 9])
def test_shapes_of_tiny_concentration_are_as_sharp_as_they_should_be(width: int) -> None:
    generator = np.random.default_rng(0)
    observers = observed(generator, 5, 3).observers
    found, expected = observers._dirichlet(np.full((5000, width), 0.01)), generator.dirichlet([0.01] * width, 5000)
    blunt = [float((drawn.max(1) < 0.9).mean()) for drawn in (found, expected)]
    assert blunt[0] == pytest.approx(blunt[1], abs=0.02)


def test_decisions_that_follow_labels_still_have_probabilities_that_sum_to_one() -> None:
    cells = np.indices((4, 4)).reshape(2, -1)
    generator = np.random.default_rng(0)
    observers = TwoObservers(*cells, np.ones((4, 4)), np.zeros((4, 4)), generator)
    confusion = generator.dirichlet(np.ones(4), (1, 4))
    followed = np.where(observers._by_label, 0.7, 0.2)[None]
    found = observers._likelihood(confusion, followed).reshape(4, 4, 4)  # by decision, label, class
    np.testing.assert_allclose(found.sum(0), np.ones((4, 4)))
    kept = confusion[0, 1, 1]
    assert found[1, 1, 1] == pytest.approx(kept + 0.7 * (1 - kept))
    assert found[2, 1, 1] == pytest.approx(0.3 * confusion[0, 1, 2])
    assert found[2, 2, 1] == pytest.approx(0.2 + 0.8 * confusion[0, 1, 2])
    assert found[1, 2, 1] == pytest.approx(0.8 * kept)


def test_of_wrong_labels_fewer_are_followed_than_of_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_observers, "_FOLLOWED", (6e8, 4e8))
    monkeypatch.setattr(two_observers, "_OF_WRONG", (1e8, 9e8))
    observers = observed(np.random.default_rng(0), 50, 3).observers
    followed = observers._followed(2)
    assert followed.shape == (2, len(observers._counts), 3)
    expected = np.where(observers._by_label, 0.6, 0.06)
    np.testing.assert_allclose(followed, np.stack([expected, expected]), rtol=1e-3)


def test_evidence_of_counts_is_that_of_a_polya_urn() -> None:
    concentration = np.array([0.5, 1.5, 2.0])
    draws = [0, 1, 0, 2, 2, 2]
    urn, log_p = concentration.copy(), 0.0
    for ball in draws:
        log_p += np.log(urn[ball] / urn.sum())
        urn[ball] += 1
    counts = np.bincount(draws, minlength=3)[None, None].astype(float)
    assert _log_evidence(counts, concentration[None]) == pytest.approx(log_p)


@pytest.mark.parametrize("draws", [2, 45])
def test_as_many_draws_as_asked_for_and_every_one_a_matrix(draws: int) -> None:
    observers = observed(np.random.default_rng(0), 50, 3).observers
    matrices, right = observers.sample(draws, 20, follows=True)
    assert matrices.shape == (draws, 3, 3)
    assert right.shape == (draws,)
    np.testing.assert_allclose(matrices.sum(-1), 1)
    assert ((right >= 0) & (right <= 50)).all()

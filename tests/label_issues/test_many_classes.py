"""Tests of the sampler for many classes, against the sampler for few and against simulated parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from test_two_observers import observed

from vri_pyro.label_issues import transition_posterior
from vri_pyro.label_issues.many_classes import ManyClasses
from vri_pyro.label_issues.two_observers import TwoObservers


class Counted(NamedTuple):
    """What a sampler is built from, and the true share of wrong labels."""

    decided: np.ndarray
    given: np.ndarray
    own_word: np.ndarray
    trusted: np.ndarray
    wrong: float


def counted(classes: int, size: int, pairs: bool, seed: int = 0) -> Counted:
    """Decisions that are right with calibrated confidence around 0.8, and 30% wrong labels."""
    generator = np.random.default_rng(seed)
    true = generator.integers(classes, size=size)
    sure = generator.beta(6.4, 1.6, size)
    decided = np.where(generator.random(size) < sure, true, (true + generator.integers(1, 4, size=size)) % classes)
    moved = 1 if pairs else generator.integers(1, classes, size=size)
    given = np.where(generator.random(size) < 0.3, (true + moved) % classes, true)
    own_word = np.eye(classes) + 1 / classes
    np.add.at(own_word, (decided, decided), sure)
    for step in (1, 2, 3):
        np.add.at(own_word, ((decided - step) % classes, decided), (1 - sure) / 3)
    trusted = np.zeros((classes, classes))
    known = np.arange(5 * classes) % classes
    right = generator.random(len(known)) < 0.8
    np.add.at(trusted, (known, np.where(right, known, (known + generator.integers(1, 4, len(known))) % classes)), 1)
    return Counted(decided, given, own_word, trusted, float((given != true).mean()))


def sampled(kind: type[TwoObservers], data: Counted, follows: bool, draws: int = 120) -> tuple[np.ndarray, np.ndarray]:
    observers = kind(*data[:4], np.random.default_rng(1))
    observers.between = 20  # of the sampler for few classes
    matrices, right = observers.sample(draws, 20 if kind is TwoObservers else 1, follows)
    return matrices, 1 - right / len(data.given)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("follows", [False, True])
def test_posterior_is_that_of_the_sampler_for_few_classes(pairs: bool, follows: bool) -> None:
    data = counted(12, 1200, pairs)
    exact, rate = sampled(TwoObservers, data, follows)
    many, another = sampled(ManyClasses, data, follows, draws=240)
    assert another.mean() == pytest.approx(rate.mean(), abs=0.25 * rate.std() + 0.003)
    assert another.std() == pytest.approx(rate.std(), rel=0.5)
    np.testing.assert_allclose(many.mean(0), exact.mean(0), atol=0.03 if not follows else 0.06)
    spread = [np.diagonal(one, axis1=1, axis2=2).std(0).mean() for one in (exact, many)]
    assert spread[1] == pytest.approx(spread[0], rel=0.35)


@pytest.mark.slow
@pytest.mark.parametrize("follows", [None, (0.8, 0.4)])
def test_sweeps_leave_the_posterior_invariant(follows: tuple[float, float] | None) -> None:
    def statistics(m: np.ndarray, t: np.ndarray, right: float) -> list[float]:
        return [m[0, 0], m[0, 1], t[0, 0], t[0, 1], t[0, 0] * t[1, 1], t[0, 0] * m[0, 0], right, right**2]

    generator, changes = np.random.default_rng(7), []
    for _ in range(400):
        truth = observed(generator, 60, 4, follows or (0.0, 0.0))
        many = ManyClasses.__new__(ManyClasses)
        many.__dict__.update(truth.observers.__dict__)
        many._off_cells = np.flatnonzero(many._rows != many._columns)
        many._readable = many._independent_sets()
        state = truth.state()
        for _ in range(4):
            state = many._sweep(state, None if follows is None else np.array(follows))
        after = statistics(state.confusion.entries[0], state.transition.entries[0], state.right[0])
        changes.append(np.array(after) - statistics(truth.confusion, truth.transition, truth.right))
    gathered = np.stack(changes)
    errors = gathered.std(0) / len(gathered) ** 0.5
    assert np.abs(gathered.mean(0) / errors).max() < 3.5


def test_sets_of_cells_share_no_decision_and_no_label_and_are_few() -> None:
    data = counted(60, 3000, False)
    many = ManyClasses(*data[:4], np.random.default_rng(0))
    together = np.concatenate(many._readable)
    assert sorted(together) == np.flatnonzero((many._rows != many._columns) & (many._counts <= 64)).tolist()
    for cells in many._readable:
        assert len(set(many._rows[cells])) == len(set(many._columns[cells])) == len(cells)
    degree = max(np.bincount(many._rows[together]).max(), np.bincount(many._columns[together]).max())
    assert len(many._readable) < 2 * degree


def test_hundreds_of_classes_are_sampled_in_bounded_memory_and_the_noise_rate_is_found() -> None:
    data = counted(300, 6000, True)
    p = torch.full((6000, 300), 1e-4, dtype=torch.float64)
    p[torch.arange(6000), torch.from_numpy(data.decided)] = 0.8
    for step in (1, 2, 3):
        p[torch.arange(6000), torch.from_numpy((data.decided - step) % 300)] = 0.06
    known = np.argwhere(data.trusted).repeat(data.trusted[data.trusted > 0].astype(int), axis=0)
    held_out = torch.from_numpy(known[:, 1]), torch.from_numpy(known[:, 0])
    given = torch.from_numpy(data.given)
    found = transition_posterior(p / p.sum(1, keepdim=True), given, None, held_out, draws=30)
    assert found.transition.numel() <= 20_000_000
    assert found.noise_rate.shape == (30,)
    assert float(found.noise_rate.mean()) == pytest.approx(data.wrong, abs=0.03)

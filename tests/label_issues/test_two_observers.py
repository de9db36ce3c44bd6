"""Tests of the Gibbs sampler on data simulated from its own priors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, gammaln, logit, logsumexp
from scipy.stats import kstest

from vri_pyro.label_issues import two_observers
from vri_pyro.label_issues.error_rates import TIES, Shared
from vri_pyro.label_issues.two_observers import TwoObservers, _log_evidence


class Truth(NamedTuple):
    """Parameters drawn from the priors, and data simulated with them."""

    share: np.ndarray
    confusion: np.ndarray
    transition: np.ndarray
    right: int
    trust: float
    spread: float
    observers: TwoObservers
    errors: Shared
    noises: Shared

    def state(self) -> two_observers._Chains:
        """Return the true values as the state of a chain."""
        matrices = [
            two_observers._Matrix(
                entries[None] + 1e-60, self.observers._wrong(entries[None]), np.array([spread]), shared
            )
            for entries, spread, shared in (
                (self.confusion, self.trust, self.errors),
                (self.transition, self.spread, self.noises),
            )
        ]
        return two_observers._Chains(self.share[None], *matrices, np.zeros(1))


def prior_rate(generator: np.random.Generator) -> float:
    """Draw ρ: uniform above 0.1 or, as often, log-uniform below."""
    if generator.random() < 0.5:
        return float(np.exp(generator.uniform(np.log(1e-5), np.log(0.1))))
    return float(generator.uniform(0.1, 0.95))


def matrix(generator: np.random.Generator, rates: np.ndarray, tie: float, shapes: np.ndarray) -> np.ndarray:
    """Draw a matrix with mean error rates [K] and Dirichlet concentrations of the errors [K, K - 1]."""
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
    """Simulate data from the priors; ``follows`` has the shares of correct and of wrong labels that are followed."""
    own = generator.dirichlet(np.ones(classes), classes) + 4 * np.eye(classes)
    own /= own.sum(1, keepdims=True)
    trust, spread = (generator.choice(grid) for grid in (two_observers._SPREADS, two_observers._SPREADS))
    (oftener,), (another,) = errors_shared = Shared(
        generator.normal(0, two_observers._DOUBT, 1), generator.choice(TIES, 1)
    )
    rate = prior_rate(generator)
    noises_shared = Shared(logit([rate]), generator.choice(TIES, 1))
    tie = noises_shared.ties[0]
    share = generator.dirichlet(np.ones(classes))
    errors = expit(logit(1 - np.diag(own)) + oftener)
    confusion = matrix(generator, errors, another, np.full((classes, classes - 1), trust / (classes - 1)))
    transition = matrix(generator, np.full(classes, rate), tie, np.full((classes, classes - 1), spread / (classes - 1)))
    truth = generator.choice(classes, size, p=share)
    decided, given = (of(generator, rows[truth]) for rows in (confusion, transition))
    learned = generator.random(size) < np.where(given == truth, *follows)
    decided[learned] = given[learned]
    trusted = np.stack([generator.multinomial(15, row) for row in confusion]).astype(float)
    observers = TwoObservers(decided, given, own, trusted, generator)
    right = int((truth == given).sum())
    return Truth(share, confusion, transition, right, trust, spread, observers, errors_shared, noises_shared)


def of(generator: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Draw one class per row of probabilities."""
    drawn = (generator.random((len(probabilities), 1)) > probabilities.cumsum(1)).sum(1)
    return np.minimum(drawn, probabilities.shape[1] - 1)


def test_ranks_of_true_values_drawn_from_the_priors_are_uniform() -> None:
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
def test_sweeps_leave_the_posterior_invariant(follows: tuple[float, float] | None) -> None:
    def statistics(share: np.ndarray, m: np.ndarray, t: np.ndarray, right: float) -> list[float]:
        products = [m[0, 0] * m[1, 1], m[0, 1] * m[0, 2], t[0, 0] * t[1, 1], t[0, 1] * t[0, 2], t[0, 0] * m[0, 0]]
        return [share[0], share[0] ** 2, m[0, 0], m[0, 1], t[0, 0], t[0, 1], right, right**2, *products]

    generator = np.random.default_rng(5)
    changes = []
    for _ in range(600):
        truth = observed(generator, 60, 3, follows or (0.0, 0.0))
        followed = None if follows is None else np.where(truth.observers._by_label, *follows)[None]
        state = truth.state()
        for _ in range(4):
            state = truth.observers._sweep(state, followed)
        matrices = state.confusion.entries[0], state.transition.entries[0]
        after = statistics(state.share[0], *matrices, state.right[0])
        changes.append(np.array(after) - statistics(truth.share, truth.confusion, truth.transition, truth.right))
    gathered = np.stack(changes)
    errors = gathered.std(0) / len(gathered) ** 0.5
    assert np.abs(gathered.mean(0) / errors).max() < 3.5


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_blocks_are_resampled_from_their_conditional_distribution(distance: int) -> None:
    classes, chains, generator = 4, 40_000, np.random.default_rng(distance)
    decided, given = generator.choice(classes, (2, 90))
    trusted = generator.integers(0, 4, (classes, classes)).astype(float)
    observers = TwoObservers(decided, given, generator.dirichlet(np.ones(classes), classes), trusted, generator)
    followed = np.where(observers._by_label, 0.6, 0.2)[None]
    share = generator.dirichlet(np.ones(classes))[None]
    noise, error = generator.uniform(0.2, 0.8, (2, 1, classes))
    spreads = {"transition": np.array([1.5]), "confusion": np.array([20.0])}
    unused = np.zeros((1, classes, classes))
    state = two_observers._Chains(
        share,
        two_observers._Matrix(unused, error, spreads["confusion"], observers._errors.start(1)),
        two_observers._Matrix(unused, noise, spreads["transition"], observers._noises.start(1)),
        np.zeros(1),
    )
    of_class = generator.multinomial(observers._counts, np.full(classes, 1 / classes))

    def sums(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        summed = (observers._summed(counts[None], groups)[0] for groups in (observers._labels, observers._decisions))
        return next(summed), next(summed) + trusted

    def log_p(counts: np.ndarray, number: int, both: int) -> float:
        """Log joint density, up to terms that do not depend on the class counts of the cells."""
        found = gammaln(both + 1) - gammaln(number + 1) - gammaln(both - number + 1)
        found += (counts.sum(0) * np.log(share[0])).sum()
        off = ~np.eye(classes, dtype=bool)
        found += (counts * np.log1p(-followed[0]))[observers._rows != observers._columns].sum()
        shapes = observers._any_shape, observers._any_shape
        for matrix, rate, spread, shape in zip(
            sums(counts), (noise[0], error[0]), spreads.values(), shapes, strict=True
        ):
            wrong = matrix[off].reshape(classes, classes - 1)
            found += (wrong.sum(1) * np.log(rate) + np.diag(matrix) * np.log1p(-rate)).sum()
            found += _log_evidence(wrong[None], spread[:1], shape)[0, 0]
        return float(found)

    (cells,) = (c for c in observers._readable if (observers._columns - observers._rows)[c[0]] % classes == distance)
    repeated = np.tile(of_class, (chains, 1, 1))
    labelled, decided = (np.tile(matrix, (chains, 1, 1)) for matrix in sums(of_class))
    observers._read_anew(cells, repeated, labelled, decided, state, followed)
    np.testing.assert_array_equal(repeated.sum(2), np.tile(observers._counts, (chains, 1)))
    for counts, drawn in zip(sums(repeated[7]), (labelled[7], decided[7]), strict=True):
        np.testing.assert_array_equal(counts, drawn)
    for cell in cells:
        k, y = observers._rows[cell], observers._columns[cell]
        both = of_class[cell, k] + of_class[cell, y]
        log_ps = []
        for number in range(both + 1):
            changed = of_class.copy()
            changed[cell, [k, y]] = both - number, number
            log_ps.append(log_p(changed, number, both))
        expected = np.exp(np.array(log_ps) - logsumexp(log_ps))
        found = np.bincount(repeated[:, cell, y], minlength=both + 1) / chains
        np.testing.assert_allclose(found, expected, atol=5 * 0.5 / chains**0.5)


def test_classes_with_very_few_decisions_give_finite_matrices() -> None:
    """An initial error rate may then be 1. Warnings raise in tests, so numerical warnings would fail the test."""
    for seed in range(8):
        generator = np.random.default_rng(seed)
        decided = np.r_[np.zeros(10_000, int), 1, 2]
        own_word = np.eye(3) + 1 / 3
        np.add.at(own_word.T, decided, np.tile([0.4, 0.35, 0.25], (len(decided), 1)))
        observers = TwoObservers(
            decided, generator.integers(3, size=len(decided)), own_word, np.zeros((3, 3)), generator
        )
        matrices, _ = observers.sample(2, 2, follows=False)
        assert np.isfinite(matrices).all()


@pytest.mark.parametrize("width", [2, 9])
def test_dirichlet_draws_of_small_concentration_have_the_right_distribution(width: int) -> None:
    generator = np.random.default_rng(0)
    observers = observed(generator, 5, 3).observers
    found, expected = observers._dirichlet(np.full((5000, width), 0.01)), generator.dirichlet([0.01] * width, 5000)
    blunt = [float((drawn.max(1) < 0.9).mean()) for drawn in (found, expected)]
    assert blunt[0] == pytest.approx(blunt[1], abs=0.02)


def test_likelihood_with_followed_labels_sums_to_one_over_decisions() -> None:
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


def test_followed_shares_of_correct_and_wrong_labels_are_u_and_ub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_observers, "_FOLLOWED", (6e8, 4e8))
    monkeypatch.setattr(two_observers, "_OF_WRONG", (1e8, 9e8))
    observers = observed(np.random.default_rng(0), 50, 3).observers
    followed = observers._followed(2)
    assert followed.shape == (2, len(observers._counts), 3)
    expected = np.where(observers._by_label, 0.6, 0.06)
    np.testing.assert_allclose(followed, np.stack([expected, expected]), rtol=1e-3)


def test_log_evidence_equals_a_polya_urn() -> None:
    concentration = np.array([0.5, 1.5, 2.0])
    draws = [0, 1, 0, 2, 2, 2]
    urn, log_p = concentration.copy(), 0.0
    for ball in draws:
        log_p += np.log(urn[ball] / urn.sum())
        urn[ball] += 1
    counts = np.bincount(draws, minlength=3)[None].astype(float)
    chains = np.stack([counts, 0 * counts, counts])
    found = _log_evidence(chains, np.array([1.0, 7.0]), concentration[None])
    np.testing.assert_allclose(found[:, 0], [log_p, 0, log_p])
    np.testing.assert_allclose(found[0, 1], _log_evidence(chains[:1], np.array([7.0]), concentration[None])[0, 0])
    assert found[0, 1] > found[0, 0]  # this prior is closer to equal shares


@pytest.mark.parametrize("draws", [2, 45])
def test_number_of_draws_is_as_requested_and_rows_sum_to_one(draws: int) -> None:
    observers = observed(np.random.default_rng(0), 50, 3).observers
    matrices, right = observers.sample(draws, 20, follows=True)
    assert matrices.shape == (draws, 3, 3)
    assert right.shape == (draws,)
    np.testing.assert_allclose(matrices.sum(-1), 1)
    assert ((right >= 0) & (right <= 50)).all()

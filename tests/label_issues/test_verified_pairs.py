"""Verified pairs in the posterior of the transition matrix, and checked classes in ``find_label_issues``."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import betaln, logsumexp
from scipy.stats import kstest
from test_transition_posterior import CLASSES, drawn, flip, uniform
from test_two_observers import Truth, observed, of
from torch import Tensor

from vri_pyro.label_issues import find_label_issues, transition_posterior, two_observers
from vri_pyro.label_issues.chosen_pairs import chosen_by_score
from vri_pyro.label_issues.error_rates import TIES, ErrorRates, Shared, noise_rates, scaled_rates
from vri_pyro.label_issues.many_classes import ManyClasses
from vri_pyro.label_issues.two_observers import TwoObservers
from vri_pyro.utils.errors import UserError


def with_pairs(kind: type[TwoObservers], generator: np.random.Generator, size: int, checked: int) -> Truth:
    """Simulate data from the priors, of which some examples were checked because of their decision and label."""
    classes = 3
    truth = observed(generator, 1, classes)
    true = generator.choice(classes, size, p=truth.share)
    decided, given = (of(generator, rows[true]) for rows in (truth.confusion, truth.transition))
    order = np.lexsort((generator.random(size), decided == given))  # those that differ first
    known, rest = order[:checked], order[checked:]
    pairs, trusted = np.zeros((classes, classes)), truth.observers._trusted.copy()
    np.add.at(pairs, (true[known], given[known]), 1)
    np.add.at(trusted, (true[known], decided[known]), 1)
    own = truth.observers._own
    observers = kind(decided[rest], given[rest], own, trusted, generator, pairs)
    return truth._replace(observers=observers, right=int((true == given)[rest].sum()))


@pytest.mark.slow
def test_ranks_of_true_values_are_uniform_with_pairs_chosen_by_decision_and_label() -> None:
    ranks, entries = [], []
    for trial in range(30):
        generator = np.random.default_rng(trial)
        truth = with_pairs(TwoObservers, generator, 200, 40)
        matrices, found = truth.observers.sample(60, 20, follows=False)
        ranks.append(np.mean(found + generator.random(60) < truth.right + generator.random()))
        entries.append(np.mean(matrices[:, 0, 1] < truth.transition[0, 1]))
    assert kstest(ranks, "uniform").pvalue > 0.01
    assert kstest(entries, "uniform").pvalue > 0.01


@pytest.mark.parametrize("kind", [TwoObservers, ManyClasses])
def test_sweeps_leave_the_posterior_given_pairs_invariant(kind: type[TwoObservers]) -> None:
    def statistics(share: np.ndarray, m: np.ndarray, t: np.ndarray, right: float) -> list[float]:
        products = [m[0, 0] * m[1, 1], t[0, 0] * t[1, 1], t[0, 1] * t[0, 2], t[0, 0] * m[0, 0]]
        return [share[0], share[0] ** 2, m[0, 0], m[0, 1], t[0, 0], t[0, 1], right, right**2, *products]

    generator = np.random.default_rng(7)
    changes = []
    for _ in range(300):
        truth = with_pairs(kind, generator, 60, 20)
        state = truth.state()
        for _ in range(4):
            state = truth.observers._sweep(state, None)
        after = statistics(state.share[0], state.confusion.entries[0], state.transition.entries[0], state.right[0])
        changes.append(np.array(after) - statistics(truth.share, truth.confusion, truth.transition, truth.right))
    gathered = np.stack(changes)
    errors = gathered.std(0) / len(gathered) ** 0.5
    assert np.abs(gathered.mean(0) / errors).max() < 3.5


def _exact_diagonal(pairs: np.ndarray, decided: int, given: int) -> tuple[np.ndarray, float]:
    """Posterior means of the diagonal of T and of whether the label of one example of two classes is right.

    All sums are written out: over the class of the example, κ, and a fine grid of t, of the priors of T and M.
    """
    own = np.array([[0.8, 0.2], [0.2, 0.8]])
    logs, diagonals, right = [], [], []
    for label in range(2):
        labelled, confused = pairs.copy(), np.zeros((2, 2))
        labelled[label, given] += 1
        confused[label, decided] += 1
        log_share = betaln(*(1 + labelled.sum(1)))
        log_m = _log_marginal(scaled_rates(1 - np.diag(own), two_observers._DOUBT), confused)
        for log_t, means in _components(noise_rates(2), labelled):
            logs.append(log_share + log_m + log_t)
            diagonals.append(means)
            right.append(label == given)
    weights = np.exp(np.array(logs) - logsumexp(logs))
    return weights @ np.array(diagonals), float(weights @ np.array(right))


def _components(prior: ErrorRates, counts: np.ndarray) -> list[tuple[float, np.ndarray]]:
    wrong, right = counts.sum(1) - np.diag(counts), np.diag(counts)
    shift, ties = (part.ravel() for part in np.meshgrid(np.linspace(-12, 4, 161), TIES))
    shared = Shared(shift[None], ties[None])
    ahead, behind = prior.parameters(shared)
    logs = prior.evidence(shared, wrong[None], right[None])[0]
    diagonals = (behind[0] + right) / (ahead[0] + behind[0] + wrong + right)
    return list(zip(logs.tolist(), diagonals, strict=True))


def _log_marginal(prior: ErrorRates, counts: np.ndarray) -> float:
    return float(logsumexp([log for log, _ in _components(prior, counts)]))


def test_posterior_of_a_tiny_case_is_the_one_written_out() -> None:
    """With two classes the shape of the errors is 1, so pairs are counts of Beta distributions with known priors."""
    pairs, own = np.array([[6.0, 2.0], [1.0, 4.0]]), np.array([[0.8, 0.2], [0.2, 0.8]])
    observers = TwoObservers(np.array([0]), np.array([1]), own, np.zeros((2, 2)), np.random.default_rng(0), pairs)
    matrices, right = observers.sample(1200, 600, follows=False)
    diagonal, share = _exact_diagonal(pairs, decided=0, given=1)
    found = np.diagonal(matrices, axis1=1, axis2=2)
    np.testing.assert_allclose(found.mean(0), diagonal, atol=0.015)
    assert right.mean() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("transition", [flip(0.3), uniform(0.3)])
def test_pairs_bring_t_closer_to_the_truth_and_narrow_the_interval_of_the_noise_rate(transition: Tensor) -> None:
    errors, widths = [], []
    for seed in range(6):
        torch.manual_seed(seed)
        p, _, given = drawn(transition, 1500, sharpness=1.5)
        held, truth, theirs = drawn(transition, 100, sharpness=1.5)
        row, wide = [], []
        for pairs in (None, (truth, theirs)):
            found = transition_posterior(p, given, held_out=(held.argmax(-1), truth), draws=40, pairs=pairs)
            row.append(float((found.transition - transition).abs().mean()))  # over draws and entries, [draws, K, K]
            low, high = found.noise_rate_interval()
            wide.append(high - low)
        errors.append(row)
        widths.append(wide)
    without, known = np.mean(errors, axis=0)
    assert known < 0.85 * without
    assert sum(one[1] < one[0] for one in errors) >= 4
    before, after = np.mean(widths, axis=0)
    assert after < 0.9 * before


def test_no_pairs_and_pairs_of_none_give_the_same_draws() -> None:
    p, _, given = drawn(flip(0.3), 300, sharpness=2.0)
    nothing = torch.zeros(0, dtype=torch.int64)
    found, same = (transition_posterior(p, given, draws=5, pairs=pairs) for pairs in (None, (nothing, nothing)))
    assert torch.equal(found.transition, same.transition)
    assert torch.equal(found.noise_rate, same.noise_rate)


def arrays(seed: int, count: int = 1000, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]:
    """True classes, labels as given, probabilities of the given label, and the transition matrix."""
    torch.manual_seed(seed)
    transition = uniform(0.3)
    p, true, given = drawn(transition, count, sharpness)
    return true.numpy(), given.numpy(), (p @ transition).numpy(), transition


def checked(true: np.ndarray, positions: np.ndarray) -> np.ndarray:
    verified = np.full(len(true), -1)
    verified[positions] = true[positions]
    return verified


def test_verified_classes_tell_more_than_the_same_labels_trusted() -> None:
    errors, widths = [], []
    for seed in range(4):
        true, given, p, transition = arrays(seed, 800, sharpness=0.8)
        some = np.random.default_rng(seed).choice(800, 200, replace=False)
        corrected = given.copy()
        corrected[some] = true[some]
        tables = (
            find_label_issues(corrected, p, trusted=some, classes=range(CLASSES), draws=40),
            find_label_issues(given, p, verified=checked(true, some), classes=range(CLASSES), draws=40),
        )
        found = [torch.tensor(table.attrs["transition_matrix"], dtype=torch.float64) for table in tables]
        errors.append([float((matrix - transition).abs().mean()) for matrix in found])
        widths.append([float(np.diff(table.attrs["noise_rate_interval"])[0]) for table in tables])
    without, known = np.mean(errors, axis=0)
    assert known < 0.6 * without
    before, after = np.mean(widths, axis=0)
    assert after < 0.9 * before


def test_table_has_both_labels_of_verified_examples_at_its_end() -> None:
    true, given, p, _ = arrays(0, count=400)
    names = np.array(["ant", "bee", "cat", "dog"])
    some = np.arange(0, 400, 8)
    verified = np.array(["", *names])[checked(true, some) + 1]
    table = find_label_issues(names[given], p, verified=verified, draws=40)
    assert list(table.columns)[:4] == ["index", "given", "suggested", "verified"]
    last = table.tail(50)
    assert sorted(last["index"]) == some.tolist()
    assert (last["verified"] == names[true[last["index"]]]).all()
    assert (last["suggested"] == last["verified"]).all()
    assert (last["given"] == names[given[last["index"]]]).all()
    wrong = (given != true)[last["index"]]
    assert (last["score"] == wrong).all()
    assert (last["is_label_issue"] == wrong).all()
    assert table.head(350)["verified"].isna().all()
    assert table.head(350)["score"].is_monotonic_decreasing
    plain = find_label_issues(names[given], p, draws=40)
    assert "verified" not in plain.columns


def test_choice_by_label_and_decision_is_allowed_and_by_score_is_not_counted() -> None:
    true, given, p, _ = arrays(1, count=1500)
    differing = np.flatnonzero(p.argmax(1) != given)
    by_cell = np.random.default_rng(0).choice(differing, 150, replace=False)
    table = find_label_issues(given, p, verified=checked(true, by_cell), draws=40)  # a warning would be an error
    rest = np.setdiff1d(np.arange(1500), by_cell)
    assert table.attrs["noise_rate"] == pytest.approx((given != true)[rest].mean(), abs=0.06)
    most = np.argsort(p[np.arange(1500), given])[:150]
    with pytest.warns(UserWarning, match="the verified examples were chosen by how suspicious their labels look"):
        ranked = find_label_issues(given, p, verified=checked(true, most), draws=40)
    rest = np.setdiff1d(np.arange(1500), most)
    assert ranked.attrs["noise_rate"] == pytest.approx((given != true)[rest].mean(), abs=0.1)


def test_p_values_of_random_choices_are_uniform_and_that_of_the_top_is_tiny() -> None:
    generator = np.random.default_rng(0)
    groups, score = generator.integers(5, size=400), generator.integers(30, size=400) / 30  # with ties
    found = [chosen_by_score(groups, score, generator.permutation(400) < 80) for _ in range(200)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert chosen_by_score(groups, score, score > np.quantile(score, 0.8)) < 1e-20
    assert chosen_by_score(groups, score, groups == 2) == 1  # a choice by the group is no choice by score


@pytest.mark.parametrize(
    ("verified", "options", "message"),
    [
        ([0, 1], {}, "verified has 2 entries for 8 examples"),
        ([5] + 7 * [-1], {}, r"verified\[0\] is 5, which is not one of the classes"),
        ([0.5] + 7 * [None], {}, r"verified\[0\] is 0.5"),
        (8 * [-1], {}, "verified has no checked class"),
        ([1] + 7 * [-1], {"trusted": [0]}, "Example 0 is in trusted, which says that its label 0 is right"),
        ([1] + 7 * [-1], {"trusted": range(1, 8)}, "trusted contains every label"),
    ],
)
def test_unusable_verified_classes_are_refused(verified: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_label_issues([0, 1] * 4, np.full((8, 2), 0.5), verified=verified, **options)


def test_series_of_verified_classes_in_another_order_is_refused() -> None:
    labels, verified = pd.Series([0, 1] * 4), pd.Series([1.0] + 7 * [None]).iloc[::-1]
    with pytest.raises(UserError, match="labels and verified have the same index in different orders"):
        find_label_issues(labels, np.full((8, 2), 0.5), verified=verified)


def test_every_kind_of_mark_for_unchecked_examples_gives_the_same_table() -> None:
    true, given, p, _ = arrays(2, count=200)
    numbers = checked(true, np.arange(0, 200, 5))
    kinds = [numbers, np.where(numbers < 0, np.nan, numbers), [None if one < 0 else int(one) for one in numbers]]
    first, *others = (find_label_issues(given, p, verified=kind, draws=40) for kind in kinds)
    for other, column in itertools.product(others, ("index", "score", "suggested")):
        assert (other[column] == first[column]).all()

"""Intervals by betting: coverage whatever the scores are, agreement with exact sampling, and the terms behind them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from vri_pyro.certification import (
    Draws,
    Terms,
    betting_interval,
    equivalent_checks,
    p_value_of_random_sample,
    plain_interval,
    prediction_powered_interval,
    sampling_weights,
    terms_of,
)
from vri_pyro.certification.betting import capital_at_any_time, capital_for_fixed_number
from vri_pyro.certification.design import draw, probabilities_of_draws


def drawn(wrong: np.ndarray, score: np.ndarray, order: np.ndarray, uniform: float = 1.0) -> Draws:
    """Return draws of which all are answered."""
    outcome = np.full(len(wrong), -1)
    outcome[order] = wrong[order]
    weight = sampling_weights(score, uniform)[None]
    return Draws(outcome, score, order, weight, np.zeros(len(order), dtype=np.int64), np.full(len(wrong), 1))


@pytest.mark.parametrize("uniform", [1.0, 0.3])
def test_terms_are_unbiased_within_their_bounds_given_the_draws_before(uniform: float) -> None:
    """Every order of draws of five items, weighted with its probability."""
    wrong, score = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.9, 0.4, 0.2, 0.7])
    weight = sampling_weights(score, uniform)
    mean, whole = np.zeros(4), 0.0
    for order in permutations(range(5), 4):
        positions = np.array(order)
        chance = probabilities_of_draws(weight, np.ones(5, dtype=bool), positions).prod()
        terms = terms_of(drawn(wrong, score, positions, uniform))
        assert (terms.least <= terms.low + 1e-12).all()
        assert (terms.low <= terms.most + 1e-12).all()
        mean += chance * terms.low
        whole += chance
    assert whole == pytest.approx(1)
    assert mean == pytest.approx(np.full(4, wrong.mean()))


@pytest.mark.parametrize("kind", ["good", "useless", "inverted"])
@pytest.mark.parametrize("rate", [0.0, 0.005, 0.05, 0.4])
def test_intervals_miss_no_more_often_than_they_say(kind: str, rate: float) -> None:
    random = np.random.default_rng(0)
    size, repeats, number = 400, 400, 100
    wrong = (np.arange(size) < round(rate * size)).astype(int)
    score = np.clip(0.5 * wrong + 0.5 * random.random(size), 0, 1)
    score = {"good": score, "useless": random.permutation(score), "inverted": 1 - score}[kind]
    samples = [terms_of(drawn(wrong, score, random.permutation(size)[:number])) for _ in range(repeats)]
    terms = Terms(*(np.stack(one, axis=1) for one in zip(*samples, strict=True)))
    truth = np.full(repeats, wrong.mean())
    limit = stats.binom.ppf(0.9999, repeats, 0.025)
    for one, m in ((terms, truth), (terms.mirrored(), 1 - truth)):
        assert (capital_for_fixed_number(one, m, 0.025) >= 40).sum() <= limit
        assert (capital_at_any_time(one, m) >= 40).sum() <= limit  # at any time


def test_interval_of_a_plain_sample_is_about_the_exact_one() -> None:
    random = np.random.default_rng(1)
    for count, number, most in ((0, 100, 1.05), (100, 100, 1.05), (800, 100, 1.05), (2000, 50, 1.05)):
        wrong = (np.arange(2000) < count).astype(int)
        ours, exact = [], []
        for _ in range(5):
            draws = drawn(wrong, np.zeros(2000), random.permutation(2000)[:number])
            low, high = betting_interval(terms_of(draws), draws.known, 0.95)
            ours.append(high - low)
            low, high = plain_interval(int(wrong[draws.order].sum()), number, 2000)
            exact.append(high - low)
        assert np.mean(ours) < most * np.mean(exact)


def test_capital_at_any_time_is_that_of_ten_constant_gamblers() -> None:
    """Against the definition, written out, for one sample without scores."""
    random = np.random.default_rng(2)
    wrong = (np.arange(50) < 10).astype(int)
    order = random.permutation(50)[:20]
    terms, m = terms_of(drawn(wrong, np.zeros(50), order)), 0.45
    capitals, best = [0.1] * 10, 1.0
    found = 0
    for step, position in enumerate(order.tolist()):
        left = 50 - step
        term = found / 50 + left / 50 * wrong[position]
        largest = found / 50 + left / 50
        for gambler in range(10):
            capitals[gambler] *= 1 + 0.995 * 0.5**gambler * (m - term) / (largest - m)
        best = max(best, sum(capitals))
        found += wrong[position]
    assert capital_at_any_time(terms, np.array([m]))[0] == pytest.approx(best)


def test_exact_interval_inverts_the_hypergeometric_distribution() -> None:
    low, high = plain_interval(3, 40, 200)
    inside = [
        count
        for count in range(201)
        if stats.hypergeom.sf(2, 200, count, 40) > 0.025 and stats.hypergeom.cdf(3, 200, count, 40) > 0.025
    ]
    assert (low, high) == (inside[0] / 200, inside[-1] / 200)
    assert plain_interval(0, 200, 200) == (0, 0)
    assert plain_interval(0, 30, 10**6).high == pytest.approx(stats.beta.ppf(0.975, 1, 30), abs=1e-4)  # Clopper-Pearson


def test_prediction_powered_interval_is_that_of_the_paper() -> None:
    """PPI++ of a mean with labels that are no part of the unlabelled scores: equation and optimal λ written out."""
    random = np.random.default_rng(3)
    outcome = random.integers(0, 2, 200).astype(float)
    score = np.where(random.random(200) < 0.2, 1 - outcome, outcome)
    scores = np.concatenate([score, random.random(10**5)])
    lam = np.cov(outcome, score, ddof=0)[0, 1] / score.var()
    centre = lam * scores.mean() + (outcome - lam * score).mean()
    half = stats.norm.ppf(0.975) * (outcome - lam * score).std(ddof=1) / np.sqrt(200) * np.sqrt(1 - 200 / len(scores))
    assert prediction_powered_interval(outcome, score, scores) == pytest.approx((centre - half, centre + half))


def test_draws_have_their_probabilities() -> None:
    random, weights = np.random.default_rng(4), np.array([0.1, 0.2, 0.3, 0.4])
    allowed = np.array([True, True, False, True])
    firsts = np.bincount([draw(weights, allowed, 2, random)[0] for _ in range(4000)], minlength=4) / 4000
    assert firsts == pytest.approx(np.array([1, 2, 0, 4]) / 7, abs=0.03)
    assert probabilities_of_draws(weights, allowed, np.array([3, 1])) == pytest.approx([4 / 7, 2 / 3])
    assert sampling_weights(np.zeros(4), 0.5) == pytest.approx(np.full(4, 0.25))
    mixed = sampling_weights(np.array([0.0, 0.5, 1.0]), 0.3)
    assert mixed == pytest.approx([0.1, 0.8, 0.1])


def test_an_interval_is_worth_as_many_checks_as_wilsons_is_narrow() -> None:
    z, rate, checks = stats.norm.ppf(0.975), 0.3, 100
    effective = checks * 9999 / 9900
    width = 2 * z * np.sqrt(rate * (1 - rate) / effective + z**2 / (4 * effective**2)) / (1 + z**2 / effective)
    assert equivalent_checks(rate - width / 2 - 1e-9, rate + width / 2 + 1e-9, 10_000) in (99, 100)
    assert equivalent_checks(0, 1, 10_000) == 0
    assert equivalent_checks(0.3, 0.3, 50) in (49, 50)


def test_random_samples_pass_and_selections_by_score_do_not() -> None:
    random = np.random.default_rng(5)
    score = random.random(1000)
    p_values = [p_value_of_random_sample(score, random.permutation(1000)[:50]) for _ in range(200)]
    assert np.mean(np.array(p_values) < 0.1) < 0.2
    assert p_value_of_random_sample(score, np.argsort(score)[-50:]) < 1e-10
    assert p_value_of_random_sample(score, np.argsort(score)[:50]) < 1e-10
    assert p_value_of_random_sample(score, np.arange(1000)) == 1


def test_zero_scores_are_plain_sampling() -> None:
    wrong, order = (np.arange(30) < 10).astype(int), np.arange(5, 25)
    draws = drawn(wrong, np.linspace(0, 1, 30), order)
    terms = terms_of(replace(draws, score=np.zeros(30)))
    found = np.cumsum(wrong[order]) - wrong[order]
    assert terms.low == pytest.approx(found / 30 + (30 - np.arange(20)) / 30 * wrong[order])

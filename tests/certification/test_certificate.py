"""Certificates: coverage, exactness where everything is known, unanswered draws, rounds, classes, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vri_pyro.certification import (
    NOT_CHECKED,
    Checks,
    Draws,
    Population,
    Terms,
    certify,
    checks_needed,
    draw,
    recomputed,
    sampling_weights,
    terms_of,
)
from vri_pyro.certification.betting import capital_for_fixed_number
from vri_pyro.utils.errors import UserError

NEVER = np.iinfo(np.int64).max


def labels(size: int, rate: float, seed: int = 0) -> tuple[Population, np.ndarray]:
    """Make labels of 3 classes with helpful scores and suggestions, and their true classes."""
    random = np.random.default_rng(seed)
    given = random.integers(0, 3, size)
    wrong = random.random(size) < rate
    true = np.where(wrong, (given + 1) % 3, given)
    score = np.clip(0.6 * wrong + 0.4 * random.random(size), 0, 1)
    return Population(given, score, (given + 1) % 3, 1 - score), true


def sample(true: np.ndarray, count: int, seed: int = 0) -> Checks:
    """Return the checks of a plain random sample."""
    index = np.random.default_rng(seed).permutation(len(true))[:count]
    return Checks.random_sample(len(true), index, true[index])


def test_certificate_covers_every_truth_and_knows_what_is_left() -> None:
    population, true = labels(1000, 0.2)
    wrong = true != population.given
    found = certify(population, sample(true, 200), threshold=0.8, at_most=0.5)
    assert found.rate.low <= wrong.mean() <= found.rate.high
    assert found.rate.low <= found.rate.estimate <= found.rate.high
    for label, rate in found.classes.items():
        assert rate.low <= wrong[population.given == label].mean() <= rate.high
    assert sum(rate.drawn for rate in found.classes.values()) == found.rate.drawn == 200
    unchecked = found.checks.verified == NOT_CHECKED
    assert found.left.labels == 800
    assert found.left.low <= wrong[unchecked].sum() <= found.left.high
    after = found.left_after_suggestions
    assert after is not None
    assert population.suggested is not None
    final = np.where(population.score > 0.8, population.suggested, population.given)
    assert after.low <= (final != true)[unchecked].sum() <= after.high
    assert after.high < found.left.high
    assert found.statement is not None
    assert found.statement.shown


def test_scores_make_it_narrower_than_plain_sampling() -> None:
    population, true = labels(1000, 0.3)
    found = certify(population, sample(true, 100))
    assert found.plain is not None
    assert found.rate.high - found.rate.low < 0.75 * (found.plain.high - found.plain.low)


def test_everything_checked_is_exact() -> None:
    population, true = labels(60, 0.3)
    for anytime in (False, True):
        found = certify(population, sample(true, 60), anytime=anytime)
        assert found.rate.low == found.rate.high == (true != population.given).mean()
        assert (found.left.low, found.left.high) == (0, 0)


def test_json_recomputes_the_certificate() -> None:
    population, true = labels(200, 0.3)
    found = certify(population, sample(true, 50), anytime=True, at_most=0.6, threshold=0.9)
    content = json.loads(json.dumps(found.as_dict()))
    assert json.loads(json.dumps(recomputed(content).as_dict())) == content


def test_unanswered_draws_count_as_right_below_and_as_wrong_above() -> None:
    population, true = labels(500, 0.3)
    whole = sample(true, 100)
    verified = whole.verified.copy()
    verified[whole.order[[3, 10, 99]]] = NOT_CHECKED
    some = certify(population, Checks(whole.order, whole.round, whole.uniform, verified, whole.out))
    every = certify(population, whole)
    assert some.rate.drawn == 97
    assert some.plain is None
    assert some.rate.low <= every.rate.low
    assert some.rate.high >= every.rate.high
    assert some.rate.unanswered == 3
    assert "from 97 checks" in some.sentence()
    assert "3 drawn labels without an answer" in some.sentence()
    verified[whole.order] = NOT_CHECKED
    verified[whole.order[50]] = true[whole.order[50]]
    hardly = certify(population, Checks(whole.order, whole.round, whole.uniform, verified, whole.out))
    assert hardly.rate.high - hardly.rate.low > 0.8


def test_interval_of_all_answers_lies_within_that_of_the_first_answers() -> None:
    """So a list may be left at any point, also because the interval looks good there."""
    population, true = labels(500, 0.1)
    whole = sample(true, 60)
    every = certify(population, whole).rate
    for number in range(5, 60, 5):
        verified = whole.verified.copy()
        verified[whole.order[number:]] = NOT_CHECKED
        some = certify(population, Checks(whole.order, whole.round, whole.uniform, verified, whole.out)).rate
        assert some.low <= every.low
        assert some.high >= every.high
        assert (some.drawn, some.unanswered) == (number, 60 - number)


def test_interval_covers_when_all_wrong_labels_are_skipped() -> None:
    population, true = labels(500, 0.2)
    wrong = true != population.given
    for seed in range(20):
        whole = sample(true, 60, seed)
        verified = np.where(wrong, NOT_CHECKED, whole.verified)
        found = certify(population, Checks.random_sample(500, whole.order, verified[whole.order])).rate
        assert found.wrong == 0
        assert found.low <= wrong.mean()
        assert found.high > wrong.mean()


def test_round_without_any_answer_is_left_out() -> None:
    population, true = labels(500, 0.1)
    first = sample(true, 60)
    rest = np.setdiff1d(np.arange(500), first.order)[:40]
    order, number = np.concatenate([first.order, rest]), np.repeat([0, 1], [60, 40])
    both = certify(population, Checks(order, number, (1.0, 1.0), first.verified, np.full(500, NEVER)))
    assert both.rate == certify(population, first).rate
    assert both.checks.uniform == (1.0,)
    verified = first.verified.copy()
    verified[rest[0]] = true[rest[0]]
    begun = certify(population, Checks(order, number, (1.0, 1.0), verified, np.full(500, NEVER)))
    assert (begun.rate.drawn, begun.rate.unanswered) == (61, 39)


def test_sentence_has_the_conditions_of_the_guarantee() -> None:
    population, true = labels(200, 0.3)
    fixed, anytime = (certify(population, sample(true, 30), anytime=one).sentence() for one in (False, True))
    for sentence in (fixed, anytime):
        assert "if the labels were drawn at random" in sentence
        assert "the answers are right" in sentence
    assert "their number did not depend on the answers" in fixed
    assert "their number" not in anytime
    one = certify(population, sample(population.given, 1)).sentence()
    assert "from 1 check with 0 wrong labels;" in one


def test_interval_covers_when_labels_that_were_mended_leave_the_frame() -> None:
    """300 repeats of: measure, mend the most suspicious without all answers, measure again with unequal weights."""
    population, true = labels(300, 0.3)
    wrong, score = (true != population.given).astype(int), population.score
    weight = np.stack([sampling_weights(score), sampling_weights(score, 0.5)])
    samples = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        first = random.permutation(300)[:20]
        rest = np.setdiff1d(np.arange(300), first)
        mended = rest[np.argsort(-score[rest])][:40]
        rest = np.setdiff1d(rest, mended)
        second = draw(weight[1], np.isin(np.arange(300), rest), 30, random)
        order, number = np.concatenate([first, second]), np.repeat([0, 1], [20, 30])
        outcome, out = np.full(300, -1), np.full(300, NEVER)
        checked = np.concatenate([order, mended[:38]])
        outcome[checked] = wrong[checked]
        out[mended] = 1
        samples.append(terms_of(Draws(outcome, score, order, weight, number, out)))
        checks = Checks(order, number, (1.0, 0.5), np.where(outcome < 0, NOT_CHECKED, true), out)
        left = weight[1][rest].sum() - np.cumsum(weight[1][second]) + weight[1][second]
        assert checks.probabilities(score)[20:] == pytest.approx(weight[1][second] / left)
    terms = Terms(*(np.stack(one, axis=1) for one in zip(*samples, strict=True)))
    truth = np.full(300, wrong.mean())
    assert (capital_for_fixed_number(terms, truth, 0.025) >= 40).sum() <= 16  # 2.5%; exceeded in 1 of 1,000 experiments
    assert (capital_for_fixed_number(terms.mirrored(), 1 - truth, 0.025) >= 40).sum() <= 16
    assert terms.high[20:].mean() == pytest.approx(wrong.mean(), abs=0.015)  # two wrong labels are unanswered
    assert terms.high[20:] - terms.low[20:] == pytest.approx(np.full((30, 300), 2 / 300))


def test_plan_is_what_the_certificate_needs() -> None:
    population = Population(np.zeros(5000, dtype=np.int64), np.full(5000, 0.02))
    number = checks_needed(0.02, 0.0, 5000)
    assert 140 <= number <= 155  # 148 if the population were infinite
    right = np.zeros(5000, dtype=np.int64)
    found = certify(population, sample(right, number), at_most=0.02)
    assert found.statement is not None
    assert found.statement.shown
    # The plan is for checks without the scores, which can save a few.
    fewer = certify(population, sample(right, number - 5), at_most=0.02).statement
    assert fewer is not None
    assert not fewer.shown
    assert number < checks_needed(0.02, 0.0, 5000, anytime=True)
    assert number < checks_needed(0.02, 0.004, 5000)
    with pytest.raises(UserError, match="no number of checks shows at most"):
        checks_needed(0.02, 0.03, 5000)


def test_bad_input_is_named() -> None:
    population, true = labels(100, 0.3)
    good = sample(true, 10)
    none = np.full(100, NOT_CHECKED)
    twice = Checks(np.array([1, 1]), np.zeros(2, dtype=np.int64), (1.0,), true, good.out)
    for checks, message in (
        (Checks(good.order, good.round, (1.0,), none, good.out), r"none of the labels drawn at random \(10\) has an"),
        (Checks.random_sample(100, none[:0], none[:0]), "no label of a random sample has been checked"),
        (twice, "a label was drawn twice"),
        (Checks(good.order, good.round, (0.0,), good.verified, good.out), "uniform is 0.0"),
        (Checks(good.order, good.round, (1.5,), good.verified, good.out), "uniform is 1.5"),
        (Checks(good.order, good.round, (1.0,), good.verified[:99], good.out), "99 verified labels"),
    ):
        with pytest.raises(UserError, match=message):
            certify(population, checks)
    with pytest.raises(UserError, match="threshold is set but there are no suggestions"):
        certify(Population(population.given, population.score), good, threshold=0.5)
    with pytest.raises(UserError, match="a score is not between 0 and 1"):
        certify(Population(population.given, population.score + 1), good)

"""Tests of the posterior of examples that belong to none of the classes."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vri_pyro import find_label_issues
from vri_pyro.label_issues import OpenSetPosterior, open_set_posterior

module = import_module("vri_pyro.label_issues.open_set_posterior")  # the package has a function of this name
SIZE, DRAWS = 1000, 200


def posterior(
    noisy: np.ndarray, trusted: np.ndarray, odds: np.ndarray | float = 1.0, seed: int = 0
) -> OpenSetPosterior:
    every = np.broadcast_to(odds, noisy.shape).astype(float)
    possible = np.ones(len(noisy), dtype=bool)
    return open_set_posterior([noisy], [trusted], np.ones(len(trusted)), every, possible, DRAWS, seed)


def shares(found: OpenSetPosterior) -> np.ndarray:
    return np.array([found.of_draw(number).mean() for number in range(DRAWS)])


@pytest.mark.parametrize("trusted", [2, 10, 60, 300])
def test_examples_like_the_trusted_ones_are_of_some_class_however_few_are_trusted(trusted: int) -> None:
    random = np.random.default_rng(trusted)
    means = [posterior(random.normal(size=SIZE), random.normal(size=trusted)).mean().mean() for _ in range(60)]
    assert np.mean(means) < 0.03  # the mean of the prior, about which two trusted examples say nothing
    assert np.quantile(means, 0.9) < 0.05


@pytest.mark.parametrize(("trusted", "missed"), [(300, 0.04), (60, 0.06), (30, 0.1)])
def test_a_group_far_from_the_trusted_examples_is_of_no_class(trusted: int, missed: float) -> None:
    random = np.random.default_rng(0)
    noisy = np.concatenate([random.normal(size=600), 8 + random.normal(size=400)])
    found = posterior(noisy, random.normal(size=trusted))
    assert found.mean()[600:].mean() > 1 - missed
    assert found.mean()[:600].mean() < missed
    low, high = np.quantile(shares(found), [0.025, 0.975])
    assert low - 0.005 <= 0.4 <= high + 0.005


def test_intervals_of_the_share_cover_where_it_is_drawn_from_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NOTHING", 0.5)
    random, covered, widths = np.random.default_rng(0), [], []
    prior = np.exp(module._log_prior())
    for number in range(200):
        curve = np.zeros(1000) if number % 2 else module._curves()[random.choice(len(prior), p=prior)]
        rank = random.random(20_000)
        foreign = random.random(len(rank)) < curve[(1000 * rank).astype(int)]
        trusted = rank[SIZE:][~foreign[SIZE:]][:60]
        low, high = np.quantile(shares(posterior(rank[:SIZE], trusted)), [0.025, 0.975])
        true = curve[(1000 * rank[:SIZE]).astype(int)].mean()
        covered.append(low - 0.005 <= true <= high + 0.005)
        widths.append(high - low)
    assert np.mean(covered) > 0.91  # 0.95 is 2.6 standard errors above
    assert np.mean(widths) < 0.25


@pytest.mark.parametrize(("classes", "count", "size"), [(10, 140, 1000), (10, 5000, 10_000), (2, 2000, 10_000)])
def test_labels_that_follow_from_the_class_speak_against_examples_of_no_class(
    classes: int, count: int, size: int
) -> None:
    random = np.random.default_rng(0)
    noisy, trusted = random.normal(size=size), random.normal(size=2 * count)
    trusted = trusted[trusted < 0.5][:count]  # the easy ones, no random sample
    assert posterior(noisy, trusted).mean().mean() > 0.1
    right, wrong = 0.8, 0.2 / (classes - 1)  # of the labels
    follows = np.where(random.random(size) < right, 1 / classes / right, 1 / classes / wrong)
    assert posterior(noisy, trusted, follows).mean().mean() < 0.02


def test_labels_never_speak_for_examples_of_no_class() -> None:
    random = np.random.default_rng(0)
    noisy = random.normal(size=SIZE)
    odds = np.where(
        noisy > 1, 5.0, 0.2
    )  # labels of the farthest are unlikely, as under noise that depends on the input
    assert posterior(noisy, random.normal(size=100), odds).mean().mean() < 0.02


@pytest.mark.parametrize(("trusted_like", "least", "most"), [("the others", 0.6, 0.9), ("all", 0, 0.18)])
def test_labels_show_which_examples_are_random_and_few_trusted_examples_decide(
    trusted_like: str, least: float, most: float
) -> None:
    size, found = 2000, []
    foreign = np.arange(size) < 0.2 * size
    for seed in range(12):
        random = np.random.default_rng(seed)
        label, noisy = random.random(size), np.where(foreign, 5, 0) + random.normal(size=size)
        # Five classes. Labels of the farthest are random, those of the others follow from the class in nine of ten.
        odds = np.where(np.where(foreign, label < 0.8, label < 0.1), 2.5, 0.25)
        trusted = random.choice(noisy, 24) if trusted_like == "all" else random.normal(size=24)
        found.append(posterior(noisy, trusted, odds).mean()[foreign].mean())
    assert least < np.mean(found) < most  # 0.18 is the prior probability of no class where the labels are random


def test_examples_that_must_be_of_some_class_are_left_out() -> None:
    random = np.random.default_rng(0)
    noisy = np.concatenate([random.normal(size=600), 8 + random.normal(size=400)])
    possible = np.arange(SIZE) < 600
    found = open_set_posterior([noisy], [random.normal(size=100)], np.ones(100), np.ones(SIZE), possible, DRAWS, 0)
    assert found.mean()[600:].max() == 0
    assert found.mean()[:600].mean() < 0.02


def test_trusted_examples_count_as_often_as_their_class_is_among_the_others() -> None:
    random = np.random.default_rng(0)
    noisy = np.concatenate([3 + random.normal(size=900), random.normal(size=100)])  # most are of the class that is far
    trusted = np.concatenate([3 + random.normal(size=50), random.normal(size=50)])
    weights = np.repeat([900 / 50, 100 / 50], 50)

    def share(weights: np.ndarray) -> float:
        every = np.ones(SIZE)
        found = open_set_posterior([noisy], [trusted], weights, every, every.astype(bool), DRAWS, 0)
        return float(found.mean().mean())

    assert share(weights) < 0.05
    assert share(np.ones(100)) > 0.2


def features_and_labels(seed: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Five classes, and a share of examples of three others; a tenth of the labels is random, and all of the others'.

    Returns features, labels, whether they are wrong, and positions of 100 trusted examples.
    """
    random = np.random.default_rng(seed)
    centres = 1.2 * random.normal(size=(8, 16))
    true, foreign = random.integers(5, size=SIZE), random.random(SIZE) < share
    features = centres[np.where(foreign, random.integers(5, 8, size=SIZE), true)] + random.normal(size=(SIZE, 16))
    given = np.where((random.random(SIZE) < 0.1) | foreign, random.integers(5, size=SIZE), true)
    trusted = random.permutation(np.flatnonzero(~foreign))[:100]
    given[trusted] = true[trusted]
    return features, given, foreign | (given != true), trusted


def test_intervals_of_the_noise_rate_contain_examples_of_no_class() -> None:
    covered, errors = [], []
    for seed in range(6):
        features, given, wrong, trusted = features_and_labels(seed, 0.3)
        with pytest.warns(UserWarning, match="of the examples seem to belong to none of the classes"):
            table = find_label_issues(given, features=features, trusted=trusted)
        rest = np.setdiff1d(np.arange(SIZE), trusted)
        low, high = table.attrs["noise_rate_interval"]
        covered.append(low <= wrong[rest].mean() <= high)
        errors.append(table.attrs["noise_rate"] - wrong[rest].mean())
        assert high - low < 0.1
        assert table["score"].sum() / len(rest) == pytest.approx(table.attrs["noise_rate"])
        assert roc_auc_score(wrong[table["index"]], table["score"]) > 0.95
    assert sum(covered) >= 5
    assert abs(np.mean(errors)) < 0.02  # without examples of no class in the model: -0.2


def test_examples_of_no_class_have_no_suggestion_and_others_have() -> None:
    features, given, _, trusted = features_and_labels(1, 0.3)
    with pytest.warns(UserWarning, match="of the examples seem to belong to none of the classes"):
        table = find_label_issues(given, features=features, trusted=trusted)
    assert 0.2 < table["suggested"].isna().mean() < 0.35
    all_of_a_class = find_label_issues(given, features=features, trusted=trusted, open_set=False)
    assert all_of_a_class["suggested"].notna().all()
    features, given, _, trusted = features_and_labels(1, 0.0)
    assert find_label_issues(given, features=features, trusted=trusted)["suggested"].notna().all()

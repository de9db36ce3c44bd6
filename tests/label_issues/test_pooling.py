"""Tests of one posterior from regressions and a classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vri_pyro.label_issues.joint_posterior import JointPosterior
from vri_pyro.label_issues.pooling import pooled, weight_of_classifier
from vri_pyro.label_issues.transition_posterior import TransitionPosterior

SIZE, CLASSES = 300, 4


def _posterior(seed: int, none: float = 0.0) -> JointPosterior:
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.ones(CLASSES), SIZE)
    given = np.arange(SIZE) % CLASSES
    classes = (given[:, None] + np.arange(CLASSES)) % CLASSES
    foreign = none * generator.random(SIZE)
    wrong = 1 - (1 - foreign) * p[:, 0]
    noise = TransitionPosterior(torch.eye(CLASSES)[None].double(), torch.full((1,), wrong.mean()))
    return JointPosterior(noise, classes, p, foreign, CLASSES)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_pooled_probabilities_add_up_to_the_noise_rate_of_the_regressions(weight: float) -> None:
    heads = _posterior(0, none=0.4)
    found = pooled(heads, _posterior(1), weight)
    assert found.noise_rate == pytest.approx(heads.noise_rate, abs=1e-9)
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    np.testing.assert_array_equal(found.none, heads.none)
    np.testing.assert_array_equal(found.classes[:, 0], heads.classes[:, 0])
    assert found.transition is heads.transition


def test_a_weight_of_zero_or_one_leaves_one_of_the_two() -> None:
    heads, classifier = _posterior(0), _posterior(1)
    np.testing.assert_allclose(pooled(heads, classifier, 0.0).dense(), heads.dense(), atol=1e-9)
    alone = pooled(heads, classifier, 1.0)
    assert (alone.wrong.argsort() == classifier.wrong.argsort()).all()
    others = ~np.eye(CLASSES + 1, dtype=bool)[heads.classes[:, 0]]
    after, before = (np.where(others, one.dense().numpy(), 0) for one in (alone, classifier))
    np.testing.assert_allclose(after / after.sum(1, keepdims=True), before / before.sum(1, keepdims=True), atol=1e-6)


def test_log_odds_are_averaged_up_to_one_shift() -> None:
    heads, classifier = _posterior(0), _posterior(1)
    given = [one.dense().numpy() for one in (heads, classifier, pooled(heads, classifier, 0.25))]
    rows = np.arange(SIZE)
    log = [np.log(one[rows, heads.classes[:, 0]]) - np.log(one[rows, heads.classes[:, 2]]) for one in given]
    ratio = [np.log(one[rows, heads.classes[:, 1]]) - np.log(one[rows, heads.classes[:, 2]]) for one in given]
    np.testing.assert_allclose(ratio[2], 0.75 * ratio[0] + 0.25 * ratio[1], atol=1e-6)
    shift = log[2] - 0.75 * log[0] - 0.25 * log[1]
    np.testing.assert_allclose(shift, shift[0], atol=1e-6)


def test_a_classifier_counts_less_the_more_wrong_labels_it_follows() -> None:
    wrong = np.array([0.0, 0.0, 1.0, 1.0])
    follows_none, follows_half, follows_all = (np.array([True, False, *agrees]) for agrees in ([0, 0], [0, 1], [1, 1]))
    assert weight_of_classifier(wrong, follows_none) == pytest.approx(0.5, abs=1e-5)
    assert weight_of_classifier(wrong, follows_half) == pytest.approx(0.25, abs=1e-5)
    assert weight_of_classifier(wrong, follows_all) == pytest.approx(0, abs=1e-5)
    assert 0 <= weight_of_classifier(np.zeros(4), follows_half) <= 0.5

"""Scores and thresholds, against definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from vri_pyro.calibration import OrderedScores, conformity_scores, labels_needed
from vri_pyro.utils.errors import UserError

PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])


def test_lac_is_the_log_odds_of_one_minus_the_probability() -> None:
    np.testing.assert_allclose(conformity_scores(PROBABILITIES, "lac"), logit(1 - PROBABILITIES))


def test_aps_adds_the_probabilities_of_more_probable_classes() -> None:
    found = expit(conformity_scores(PROBABILITIES, "aps"))
    np.testing.assert_allclose(found, [[0.5, 0.8, 1.0], [0.9, 1.0, 0.8]])
    half = expit(conformity_scores(PROBABILITIES, "aps", np.array([0.5, 0.5])))
    np.testing.assert_allclose(half, [[0.25, 0.65, 0.9], [0.85, 0.95, 0.4]])


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_scores_are_as_precise_near_0_and_1_as_elsewhere(score: str) -> None:
    second, third = -math.log(2e-17), -math.log(3e-30)
    expected = {"lac": [-second, second, third], "aps": [second, third, 1000]}
    found = conformity_scores(np.array([[1.0, 2e-17, 3e-30]]), score)[0]
    np.testing.assert_allclose(found, expected[score], rtol=1e-12)


def test_scores_of_certain_predictions_are_finite() -> None:
    certain = np.array([[1.0, 0.0, 0.0]])
    assert conformity_scores(certain, "lac").tolist() == [[-1000, 1000, 1000]]
    assert conformity_scores(certain, "aps").tolist() == [[1000, 1000, 1000]]


@pytest.mark.parametrize("score", ["raps", "", None, 3])
def test_an_unknown_score_is_refused(score: object) -> None:
    with pytest.raises(UserError, match=r"^score is .*; expected one of 'lac', 'aps'$"):
        conformity_scores(PROBABILITIES, score)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.sampled_from([0.05, 0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]),
)
def test_the_threshold_of_trusted_labels_is_the_order_statistic_of_split_conformal_prediction(
    values: list[int], coverage: float
) -> None:
    scores = np.array(values, dtype=float)[:, None]
    rank = math.ceil((len(values) + 1) * coverage - 1e-9)
    expected = sorted(values)[rank - 1] if rank <= len(values) else math.inf
    found = OrderedScores(scores).threshold(np.ones_like(scores), coverage)
    assert found.value == expected
    assert (rank <= len(values)) == (len(values) >= labels_needed(coverage))
    assert found.labels == pytest.approx(len(values))


def test_an_estimated_coverage_that_falls_is_replaced_by_the_nearest_one_that_does_not() -> None:
    generator = np.random.default_rng(0)
    scores, weights = generator.random((200, 4)), generator.standard_normal((200, 4)) + 0.5
    found = OrderedScores(scores).threshold(weights, 0.8)
    effective = weights.sum() ** 2 / (weights**2).sum()
    levels = np.array([weights[scores <= value].sum() / weights.sum() for value in np.sort(scores.ravel())])
    assert (np.diff(levels) < 0).any()
    nearest = IsotonicRegression().fit_transform(np.arange(len(levels)), levels)
    expected = np.sort(scores.ravel())[np.flatnonzero(nearest >= 0.8 * (1 + 1 / effective))[0]]
    assert found.value == expected


def test_weights_that_sum_to_nothing_give_no_threshold() -> None:
    assert OrderedScores(np.ones((3, 2))).threshold(np.zeros((3, 2)), 0.5) == (math.inf, 0.0)


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.01, 1)])
def test_labels_needed_for_a_coverage(coverage: float, needed: int) -> None:
    assert labels_needed(coverage) == needed

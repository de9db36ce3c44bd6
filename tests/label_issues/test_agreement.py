"""Tests of noise rates and probabilities that agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from vri_pyro.label_issues.agreement import agreeing_with_rate, doubted_rates


def probabilities(size: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three candidates, and of no class."""
    generator = np.random.default_rng(0)
    return generator.dirichlet([2, 1, 1], size), generator.uniform(0, 0.2, size)


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.95])
def test_probabilities_of_wrong_labels_add_up_to_the_rate_and_keep_their_order_and_proportions(rate: float) -> None:
    p, none = probabilities()
    found = agreeing_with_rate(p, none, rate)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (1 - (1 - none) * found[:, 0]).mean() == pytest.approx(rate, abs=1e-9)
    assert (np.argsort(found[:, 0]) == np.argsort(p[:, 0])).all()
    np.testing.assert_allclose(found[:, 1] / found[:, 2], p[:, 1] / p[:, 2])
    shifts = logit(found[:, 0]) - logit(p[:, 0])
    np.testing.assert_allclose(shifts, shifts[0], atol=1e-6)


def test_rate_below_the_share_of_examples_of_no_class_is_approached() -> None:
    found = agreeing_with_rate(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.3, 0.1]), 0.1)
    assert np.isfinite(found).all()
    assert found[:, 0].min() > 0.99


def test_doubt_shifts_the_log_odds_of_each_draw() -> None:
    """Draws of a rate without doubt about it: the spread is that of the shifts, written out."""
    p, none = probabilities()
    rate = float((1 - (1 - none) * p[:, 0]).mean())
    found = doubted_rates(p[:, 0], none, np.full(99, rate), np.random.default_rng(1), doubt=0.4)
    low, high = ((1 - (1 - none) * expit(logit(p[:, 0]) + shift)).mean() for shift in (1.644854 * 0.4, -1.644854 * 0.4))
    np.testing.assert_allclose(np.quantile(found, [0.05, 0.5, 0.95]), [low, rate, high], atol=0.004)


def test_certain_labels_and_no_doubt_leave_the_draws_as_they_are() -> None:
    rates = np.linspace(0.2, 0.4, 20)
    certain = np.repeat([1.0, 0.0], [70, 30])
    np.testing.assert_allclose(doubted_rates(certain, np.zeros(100), rates, np.random.default_rng(0)), rates, atol=1e-6)
    p, none = probabilities()
    np.testing.assert_allclose(doubted_rates(p[:, 0], none, rates, np.random.default_rng(0), 0.0), rates, atol=1e-9)

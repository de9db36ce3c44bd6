"""Which of two transition matrices the posterior over an example's class is computed by, and which one is reported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vri_pyro.data import generator_for
from vri_pyro.label_issues import Evidence, rank, transition_posterior
from vri_pyro.label_issues.agreement import doubted_rates
from vri_pyro.label_issues.beliefs import beliefs, consulted

CLASSES, SIZE, DRAWS, SEED = 3, 300, 40, 5


def _evidence(trained_on: bool) -> Evidence:
    """Classes that overlap, a quarter of whose labels are flipped to the next one; nothing is trusted."""
    classes = torch.arange(SIZE) % CLASSES
    given = torch.where(torch.rand(SIZE) < 0.25, (classes + 1) % CLASSES, classes)
    features = torch.eye(CLASSES)[classes] + 0.5 * torch.randn(SIZE, CLASSES)
    return Evidence(given, 4 * features, features, trained_on=trained_on)


def _by_bayes(p: Tensor, transition: Tensor, given: Tensor) -> Tensor:
    """p(c | x, y) = p(c | x) T[c, y] / Σ, row by row."""
    joint = torch.stack([p[row] * transition[:, given[row]] for row in range(len(given))])
    return joint / joint.sum(-1, keepdim=True)


@pytest.mark.parametrize("trained_on", [True, False])
def test_class_posterior_takes_the_matrix_of_independent_labels_and_the_report_the_other(trained_on: bool) -> None:
    evidence = _evidence(trained_on)
    p, given = consulted(evidence, beliefs(evidence), 20, None, SEED).p, evidence.given
    weights = torch.ones(SIZE, dtype=torch.float64)
    reported = transition_posterior(p, given, weights, None, trained_on, DRAWS, SEED)
    fewer = DRAWS // 4 if trained_on else DRAWS
    independent = transition_posterior(p, given, weights, None, False, fewer, SEED)

    issues = rank(evidence, draws=DRAWS, seed=SEED)
    assert torch.equal(issues.transition.transition, reported.transition)
    expected = _by_bayes(p, independent.transition.mean(0), given)
    right = expected.gather(1, given[:, None]).squeeze(1).numpy()
    rates = doubted_rates(right, np.zeros(SIZE), reported.noise_rate.numpy(), generator_for(SEED, "doubt"))
    np.testing.assert_allclose(issues.transition.noise_rate, rates, atol=1e-9)
    assert float(issues.score.mean()) == pytest.approx(rates.mean(), abs=1e-9)
    # One shift of all log odds makes them agree with the rate; the classes other than the label keep their proportions.
    shifts = issues.score.logit() - (1 - expected.gather(1, given[:, None]).squeeze(1)).logit()
    torch.testing.assert_close(shifts, shifts[:1].expand(SIZE), atol=1e-6, rtol=0)
    torch.testing.assert_close(_others(issues.posterior[:, :CLASSES], given), _others(expected, given))
    by_the_other = _by_bayes(p, reported.transition.mean(0), given)
    assert ((by_the_other - expected).abs().max() > 0.01) == trained_on


def _others(p: Tensor, given: Tensor) -> Tensor:
    """Probabilities of the classes other than the label, given that the label is wrong."""
    left = p.scatter(1, given[:, None], 0.0)
    return left / left.sum(-1, keepdim=True)

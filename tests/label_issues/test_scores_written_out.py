"""Every score of ``rank`` against its definition written out, on a run with trusted examples and foreign images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.label_issues import Evidence, LabelIssues, Trusted, probability_of_no_class, rank
from vri_pyro.label_issues.beliefs import Beliefs, beliefs, consulted

CLASSES, SIZE, FOREIGN, HELD_OUT, CLEAN = 3, 240, 60, 60, 45
DRAWS, SEED = 40, 2


def _near(classes: Tensor, spread: float) -> Tensor:
    return torch.eye(CLASSES, CLASSES + 2)[classes] + spread * torch.randn(len(classes), CLASSES + 2)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """A fifth of the examples is of no class; the clean ones lie closer together than those held out."""
    torch.manual_seed(7)
    classes = torch.arange(SIZE) % CLASSES
    given = torch.where(torch.rand(SIZE) < 0.2, (classes + 1) % CLASSES, classes)
    foreign = torch.eye(CLASSES + 2)[-1].expand(FOREIGN, -1) + 0.2 * torch.randn(FOREIGN, CLASSES + 2)
    features = torch.cat([_near(classes, 0.3), foreign]).double()
    given = torch.cat([given, torch.arange(FOREIGN) % CLASSES])
    held_out, clean = (torch.arange(count) % CLASSES for count in (HELD_OUT, CLEAN))
    trusted = torch.cat([_near(held_out, 0.3), _near(clean, 0.05)]).double()
    known = Trusted(9 * trusted[:, :CLASSES], trusted, torch.cat([held_out, clean]), HELD_OUT)
    learned = torch.full((CLASSES, CLASSES), 0.1, dtype=torch.float64) + 0.7 * torch.eye(CLASSES, dtype=torch.float64)
    return Evidence(given, 9 * features[:, :CLASSES], features, known, transition=learned)


@pytest.fixture(scope="module")
def believed(evidence: Evidence) -> Beliefs:
    return beliefs(evidence)


@pytest.fixture(scope="module")
def issues(evidence: Evidence) -> LabelIssues:
    return rank(evidence, draws=DRAWS, seed=SEED)


def _by_bayes(p: Tensor, transition: Tensor, given: Tensor) -> Tensor:
    joint = p * transition[:, given].T
    return joint / joint.sum(-1, keepdim=True)


def _of_label(p: Tensor, given: Tensor) -> Tensor:
    return p[torch.arange(len(given)), given]


def _distance(one: Tensor, others: Tensor) -> float:
    """One minus the mean cosine to the five nearest."""
    return float(1 - F.cosine_similarity(one, others, dim=-1).sort(descending=True).values[:5].mean())


def test_scores_of_the_prediction_alone_take_no_temperature(evidence: Evidence, issues: LabelIssues) -> None:
    assert issues.temperature != pytest.approx(1, abs=0.05)
    p = evidence.logits.softmax(-1)
    torch.testing.assert_close(issues.scores["self_confidence"], 1 - _of_label(p, evidence.given))
    torch.testing.assert_close(issues.scores["loss"], -_of_label(p, evidence.given).log())
    labelled = zip(p.tolist(), evidence.given.tolist(), strict=True)
    rival = torch.tensor([max(row[:y] + row[y + 1 :]) for row, y in labelled], dtype=torch.float64)
    torch.testing.assert_close(issues.scores["margin"], (1 + rival - _of_label(p, evidence.given)) / 2)


def test_clean_class_takes_each_examples_own_probabilities_and_the_learned_matrix(
    evidence: Evidence, believed: Beliefs, issues: LabelIssues
) -> None:
    assert evidence.transition is not None
    expected = 1 - _of_label(_by_bayes(believed.own, evidence.transition, evidence.given), evidence.given)
    torch.testing.assert_close(issues.scores["clean_class"], expected)
    assert (believed.own - consulted(evidence, believed, 20, None, SEED).p).abs().max() > 0.1


def test_no_class_is_judged_by_the_distances_of_the_trusted_examples_held_out_from_each_other(
    evidence: Evidence, issues: LabelIssues
) -> None:
    assert evidence.trusted is not None
    trusted = evidence.trusted.features
    distance = torch.tensor([_distance(one, trusted) for one in evidence.features], dtype=torch.float64)
    rest = [torch.cat([trusted[:row], trusted[row + 1 :]]) for row in range(HELD_OUT)]
    null = [_distance(trusted[row], rest[row]) for row in range(HELD_OUT)]
    p_values = [(1 + sum(far >= d for far in null)) / (1 + HELD_OUT) for d in distance.tolist()]
    expected = probability_of_no_class(torch.tensor(p_values, dtype=torch.float64), HELD_OUT)
    torch.testing.assert_close(issues.scores["open_set"], distance)
    torch.testing.assert_close(issues.posterior[:, -1], expected)
    assert float(expected[SIZE:].mean()) > 0.5 > 0.1 > float(expected[:SIZE].mean())


def test_scores_and_suggestions_are_functions_of_the_joint_posterior(evidence: Evidence, issues: LabelIssues) -> None:
    p = issues.posterior
    torch.testing.assert_close(p.sum(-1), torch.ones(SIZE + FOREIGN, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(issues.score, 1 - _of_label(p, evidence.given))
    suggested = p.argmax(-1)
    assert torch.equal(issues.suggested, torch.where(suggested == CLASSES, -1, suggested))
    rates = issues.transition.noise_rate
    assert float(rates.mean()) == pytest.approx(issues.joint.noise_rate, abs=0.01)


def test_uncertainty_is_the_entropy_as_a_share_of_the_greatest(issues: LabelIssues) -> None:
    p = issues.posterior.numpy()
    logs = np.log(np.where(p > 0, p, 1))
    np.testing.assert_allclose(issues.uncertainty, -(p * logs).sum(-1) / math.log(CLASSES + 1), rtol=1e-9, atol=1e-12)


def test_order_begins_with_the_most_suspicious_and_keeps_that_of_equals(issues: LabelIssues) -> None:
    expected = sorted(range(SIZE + FOREIGN), key=lambda row: -float(issues.score[row]))
    assert issues.order().tolist() == expected

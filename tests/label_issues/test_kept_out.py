"""Tests of the noise rate by labels that the classifier was not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vri_pyro.label_issues import Evidence, LabelIssues, Trusted, rank
from vri_pyro.label_issues.beliefs import beliefs, consulted
from vri_pyro.label_issues.kept_out import rate_of_all

CLASSES, SIZE = 5, 2400


def _evidence(
    rate: float, followed: float, of_wrong: float, kept_out: float, seed: int = 0, trusted: int = 200
) -> tuple[Evidence, float]:
    """Simulate a classifier that follows a share of the correct labels and of the wrong ones, and the true rate.

    It sees inputs that have nothing to do with the features, so that neighbours do not help.
    """
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(CLASSES, (SIZE + trusted,), generator=generator)
    chance = torch.rand(3, SIZE, generator=generator)
    given = torch.where(chance[0] < rate, (truth[:SIZE] + 1) % CLASSES, truth[:SIZE])
    unseen = chance[1] < kept_out
    own = 2.5 * F.one_hot(truth, CLASSES) + 1.3 * torch.randn(SIZE + trusted, CLASSES, generator=generator)
    share = torch.where(given == truth[:SIZE], followed, followed * of_wrong)
    follows = (chance[2] < share) & ~unseen
    logits = torch.where(follows[:, None], own[:SIZE] + 8 * F.one_hot(given, CLASSES), own[:SIZE])
    known = Trusted(own[SIZE:], own[SIZE:], truth[SIZE:], held_out=trusted)
    evidence = Evidence(given, logits, own[:SIZE], known, unseen=unseen if kept_out else None)
    return evidence, float((given != truth[:SIZE]).double().mean())


def _interval(issues: LabelIssues) -> tuple[float, float]:
    return issues.transition.noise_rate_interval()


def test_rate_of_all_is_the_sample_extrapolated_with_its_sampling_error() -> None:
    generator = np.random.default_rng(0)
    found = rate_of_all(np.full(20_000, 0.3), 200, 100_000, generator)
    assert found.mean() == pytest.approx(0.3, abs=0.003)
    assert found.std() == pytest.approx((0.21 / 200) ** 0.5, rel=0.05)
    np.testing.assert_allclose(rate_of_all(np.array([0.25, 0.5]), 8, 8, generator), [0.25, 0.5])
    assert rate_of_all(np.zeros(2000), 500, 5000, generator).mean() < 0.002


def test_rate_of_all_covers_the_rate_of_random_samples() -> None:
    generator, covered = np.random.default_rng(1), 0
    for _ in range(400):
        wrong = generator.random(1000) < generator.uniform(0, 0.6)
        sample = generator.permutation(wrong)[:60].mean()
        low, high = np.quantile(rate_of_all(np.full(400, sample), 60, 1000, generator), (0.025, 0.975))
        covered += low <= wrong.mean() <= high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(("rate", "followed", "of_wrong"), [(0.0, 0.9, 0.0), (0.3, 0.6, 0.3), (0.4, 0.95, 0.9)])
def test_interval_covers_whatever_the_classifier_has_memorised(rate: float, followed: float, of_wrong: float) -> None:
    for seed in range(2):
        evidence, true = _evidence(rate, followed, of_wrong, 0.3, seed)
        low, high = _interval(rank(evidence, draws=60))
        assert low - 0.005 <= true <= high
        assert high - low < 0.25


def test_more_kept_out_labels_give_narrower_intervals_and_few_are_weak_evidence() -> None:
    widths = []
    for share in (0.005, 0.05, 0.4):
        low, high = _interval(rank(_evidence(0.3, 0.5, 0.2, share)[0], draws=60))
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1] > 1.5 * widths[2]


def test_labels_that_were_trained_on_do_not_change_the_matrix() -> None:
    evidence, _ = _evidence(0.3, 0.5, 0.2, 0.2)
    assert evidence.unseen is not None
    other = evidence.given.clone()
    other[~evidence.unseen] = (other[~evidence.unseen] + 1) % CLASSES
    one, changed = (
        rank(Evidence(given, evidence.logits, evidence.features, evidence.trusted, unseen=evidence.unseen), draws=20)
        for given in (evidence.given, other)
    )
    # The same examples belong to a class in both.
    torch.testing.assert_close(
        one.transition.transition.mean(0), changed.transition.transition.mean(0), atol=0.15, rtol=0
    )


def test_scores_of_all_labels_add_up_to_the_rate() -> None:
    issues = rank(_evidence(0.3, 0.5, 0.2, 0.2)[0], draws=20)
    assert len(issues.score) == SIZE
    assert float(issues.score.mean()) == pytest.approx(float(issues.transition.noise_rate.mean()), abs=1e-6)


def test_scores_of_labels_kept_out_of_training_are_calibrated_like_the_others() -> None:
    evidence, _ = _evidence(0.3, 0.6, 0.5, 0.2)
    assert evidence.unseen is not None
    issues = rank(evidence, draws=60)
    kept_out, others = (float(issues.score[part].mean()) for part in (evidence.unseen, ~evidence.unseen))
    assert kept_out == pytest.approx(others, abs=0.03)  # with one shift for all: 0.335 and 0.270, in truth 0.3


def test_memorised_labels_are_no_problem_for_the_rate() -> None:
    evidence, _ = _evidence(0.4, 0.95, 0.9, 0.2)
    assert evidence.unseen is not None
    seen = beliefs(evidence)
    agrees = evidence.logits.argmax(1) == evidence.given
    assert seen.agreement == pytest.approx(float(agrees[~evidence.unseen].double().mean()))
    assert consulted(evidence, seen, 20, None, 0).most_followed == 1
    issues = rank(evidence, draws=20)
    assert issues.problem == "memorised"
    assert issues.rate_problem is None
    assert issues.kept_out == int(evidence.unseen.sum())
    assert issues.advice is None
    assert issues.warning is not None
    assert f"from the {issues.kept_out} labels that were kept out of training" in issues.warning


def test_advice_is_given_where_nobody_knows_how_many_labels_are_followed() -> None:
    memorised = rank(_evidence(0.4, 0.95, 0.9, 0.0)[0], draws=20)
    assert memorised.rate_problem == memorised.problem == "memorised"
    assert memorised.advice is not None
    assert "--split.noisy_holdout 0.1" in memorised.advice
    chance = replace(memorised, learned_by_heart=False, accuracy=(1 / CLASSES, 200))
    unknown = replace(memorised, accuracy=None)
    assert (chance.problem, unknown.problem) == ("chance", "unknown")
    assert chance.advice is unknown.advice is None  # labels kept out of training would not help
    elsewhere, _ = _evidence(0.0, 0.0, 0.0, 0.0)
    assert rank(elsewhere, own=1, draws=20).kept_out == 0

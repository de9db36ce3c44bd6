"""Tests of the joint posterior: calibration under its own prior, coherence, losses, verified pairs, many labels."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from scipy.stats import chisquare
from test_two_observers import prior_rate

from vri_pyro.label_issues import label_sampler as model
from vri_pyro.label_issues.candidates_of_predictions import all_classes, candidates_of_predictions
from vri_pyro.label_issues.error_rates import TIES
from vri_pyro.label_issues.joint_posterior import JointPosterior, joint_posterior
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.open_set_posterior import OpenSetPosterior, _curves
from vri_pyro.utils.errors import UserError

CLASSES = 3


def predictions(generator: np.random.Generator, size: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * generator.standard_normal((size, CLASSES))
    p = np.exp(logits)
    return np.asarray(p / p.sum(1, keepdims=True))


def drawn(generator: np.random.Generator, p: np.ndarray) -> np.ndarray:
    return np.asarray((generator.random((len(p), 1)) > p.cumsum(1)).sum(1).clip(0, p.shape[1] - 1))


def evidence(p: np.ndarray, labels: np.ndarray) -> Candidates:
    classes = all_classes(labels, p.shape[1])
    kept = np.take_along_axis(p, classes, 1)
    return candidates_of_predictions(classes, kept, kept, np.ones(p.shape[1]), p.shape[1])


def noisy(size: int = 600, rate: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated predictions, true classes, and labels of which a share is moved to the next class."""
    generator = np.random.default_rng(seed)
    p = predictions(generator, size, 4.0)
    truth = drawn(generator, p)
    return p, truth, np.where(generator.random(size) < rate, (truth + 1) % CLASSES, truth)


@pytest.fixture(scope="module")
def posterior() -> JointPosterior:
    p, truth, given = noisy()
    return joint_posterior(evidence(p[:500], given[:500]), CLASSES, evidence(p[500:], truth[500:]), draws=100)


def test_probabilities_of_the_labels_add_up_to_the_noise_rate(posterior: JointPosterior) -> None:
    assert posterior.noise_rate == posterior.wrong.mean()
    rates = posterior.transition.noise_rate.numpy()
    error = np.sqrt((posterior.wrong * (1 - posterior.wrong)).sum()) / 500 / np.sqrt(len(rates))
    assert rates.mean() == pytest.approx(posterior.wrong.mean(), abs=5 * error)


def test_suggestion_is_the_most_probable_class(posterior: JointPosterior) -> None:
    dense = posterior.dense().numpy()
    np.testing.assert_allclose(dense.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(posterior.suggested, dense.argmax(1))
    np.testing.assert_allclose(posterior.confidence, dense.max(1), rtol=1e-6)


def test_flags_minimise_the_expected_loss(posterior: JointPosterior) -> None:
    wrong = posterior.wrong
    np.testing.assert_array_equal(posterior.flags(), wrong > 0.5)
    for missed, in_vain in ((1.0, 4.0), (9.0, 1.0)):
        flags = posterior.flags(missed, in_vain)
        loss = np.where(flags, in_vain * (1 - wrong), missed * wrong)
        assert (loss <= np.minimum(in_vain * (1 - wrong), missed * wrong) + 1e-12).all()
    with pytest.raises(UserError, match="missed is 0"):
        posterior.flags(missed=0)


def test_examples_of_no_class_count_as_wrong() -> None:
    p, _, given = noisy(300)
    odds = np.where(np.arange(300) < 30, 1e12, 0.0)  # the labels of 30 examples are impossible for any class
    curve = int(_curves()[:, 500].argmax())
    none = OpenSetPosterior(np.full((1, 300), 500), odds, np.ones(300, dtype=bool), np.full((20, 2), (0, curve)))
    found = joint_posterior(evidence(p, given), CLASSES, open_set=none, draws=20)
    assert (found.wrong[:30] == 1).all()
    assert (found.suggested[:30] == -1).all()
    assert (found.suggested[30:] >= 0).all()
    assert found.transition.noise_rate.min() >= 0.1


def test_noise_is_recovered_and_clean_labels_are_said_to_be_clean() -> None:
    for rate in (0.0, 0.3):
        p, truth, given = noisy(1500, rate, seed=1)
        found = joint_posterior(evidence(p[:1200], given[:1200]), CLASSES, evidence(p[1200:], truth[1200:]), draws=100)
        true = (given != truth)[:1200].mean()
        low, high = found.transition.noise_rate_interval()
        assert low - 0.005 <= true <= high
        assert high - low < 0.14


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_the_sampler_moves_although_clean_labels_leave_the_level_of_the_noise_open(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(seed)
    p = predictions(generator, 2400, 4.0)
    truth = drawn(generator, p)
    sweep, slopes = model.LabelSampler.sweep, []

    def followed(sampler: model.LabelSampler, adapt: bool) -> None:
        sweep(sampler, adapt)
        if not adapt:
            slopes.append(sampler.state.log_slope)

    monkeypatch.setattr(model.LabelSampler, "sweep", followed)
    found = joint_posterior(evidence(p[:2000], truth[:2000]), CLASSES, evidence(p[2000:], truth[2000:]), seed=seed)
    assert found.noise_rate < 0.005
    assert len(set(slopes)) > 0.15 * len(slopes)


def test_verified_pairs_narrow_the_noise() -> None:
    p, truth, given = noisy(700, seed=2)
    sharp = evidence(p[:100], given[:100])
    trusted = evidence(p[100:], truth[100:])
    apart = joint_posterior(sharp, CLASSES, trusted, draws=200)
    paired = joint_posterior(sharp, CLASSES, trusted, given[100:], draws=200)
    spread = [found.transition.transition.numpy()[:, 0, 0].std() for found in (apart, paired)]
    assert spread[1] < 0.8 * spread[0]
    moved = paired.transition.transition.mean(0).numpy()[np.arange(3), (np.arange(3) + 1) % 3]
    np.testing.assert_allclose(moved, 0.3, atol=0.08)


def test_of_many_labels_a_random_part_teaches_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    p, truth, given = noisy(4000, seed=3)
    known = evidence(p, given), CLASSES, evidence(p[:200], truth[:200])
    whole = joint_posterior(*known, draws=100)
    monkeypatch.setattr(import_module("vri_pyro.label_issues.joint_posterior"), "LEARNED_FROM", 1000)
    part = joint_posterior(*known, draws=100)
    assert part.wrong.shape == (4000,)
    assert part.noise_rate == pytest.approx(whole.noise_rate, abs=0.02)
    assert np.abs(part.wrong - whole.wrong).mean() < 0.03


def test_a_poor_classifier_gives_a_wide_interval() -> None:
    generator = np.random.default_rng(4)
    truth = generator.integers(CLASSES, size=1000)
    given = np.where(generator.random(1000) < 0.3, (truth + 1) % CLASSES, truth)
    p = predictions(generator, 1000, 0.3)  # unrelated to the classes
    found = joint_posterior(evidence(p[:900], given[:900]), CLASSES, evidence(p[900:], truth[900:]), draws=200)
    low, high = found.transition.noise_rate_interval()
    assert high - low > 0.2


def test_ranks_of_the_true_rate_are_uniform_under_the_models_own_prior() -> None:
    """Simulation-based calibration of the exact posterior (Talts et al., 2018), with hyperparameters of the grids."""
    ranks = [_rank(np.random.default_rng([5, number])) for number in range(50)]
    counts = np.histogram(ranks, bins=5, range=(0, 1))[0]
    assert chisquare(counts).pvalue > 0.005
    assert 0.38 < np.mean(ranks) < 0.62


def _rank(generator: np.random.Generator) -> float:
    """Draw unknowns from the prior and labels from the model; return the rank of the number of wrong labels."""
    size, count = 60, 40
    p = predictions(generator, size + count)
    truth, given = _simulated(generator, p)
    found = joint_posterior(
        evidence(p[:size], given[:size]),
        CLASSES,
        evidence(p[size:], truth[size:])._replace(),
        draws=99,
        taught=None,
        doubt=0.0,
        seed=int(generator.integers(1 << 30)),
    )
    rates, true = found.transition.noise_rate.numpy(), (given != truth)[:size].mean()
    below, ties = (rates < true - 1e-9).sum(), (np.abs(rates - true) < 1e-9).sum()
    return float((below + generator.random() * (ties + 1)) / (len(rates) + 1))


def _simulated(generator: np.random.Generator, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_floor = generator.normal(*model._FLOOR)
    slope, oftener = np.exp(generator.normal(0, model._SLOPE)), np.exp(generator.normal(0, model._OFTENER))
    trust = generator.choice(model._TRUST)
    weights = generator.gamma(trust, 1 / trust, (CLASSES, CLASSES))
    powers, floor = p**slope, 1 / (1 + np.exp(-log_floor))
    calibrated = (1 - floor) * powers / powers.sum(1, keepdims=True) + floor / CLASSES
    decided = p.argmax(1)
    calibrated *= weights[decided] * np.where(np.arange(CLASSES) == decided[:, None], 1, oftener)
    truth = drawn(generator, calibrated / calibrated.sum(1, keepdims=True))
    rate, ties, spread = prior_rate(generator), generator.choice(TIES), generator.choice(model._SPREADS)
    wrong = generator.beta(ties * rate, ties * (1 - rate), CLASSES)
    shape = generator.dirichlet(np.full(CLASSES - 1, spread / (CLASSES - 1)) + 1e-3, CLASSES)
    follows, alike = generator.random(2)
    given = truth.copy()
    for row in np.flatnonzero(generator.random(len(p)) < wrong[truth]):
        others = np.delete(np.arange(CLASSES), truth[row])
        beyond = 0.02 / CLASSES + np.zeros(len(others))
        like = p[row, others] / (1 - p[row, truth[row]])
        chances = (1 - follows) * shape[truth[row]] + follows * (alike * like + (1 - alike) * beyond / beyond.sum())
        given[row] = generator.choice(others, p=chances / chances.sum())
    return truth, given


@pytest.mark.parametrize(("size", "draws", "message"), [(0, 10, "there are 0 examples"), (5, 0, "draws is 0")])
def test_invalid_arguments_raise_one_sentence(size: int, draws: int, message: str) -> None:
    p, _, given = noisy(10)
    with pytest.raises(UserError, match=message):
        joint_posterior(evidence(p, given).at(slice(size)), CLASSES, draws=draws)

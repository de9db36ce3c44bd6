"""Tests of the posterior with labels that the classifier was not trained on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.special import logit
from scipy.stats import kstest
from test_two_observers import matrix, observed, of
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.label_issues import Evidence, Trusted, rank, transition_posterior, two_observers
from vri_pyro.label_issues.beliefs import beliefs, consulted
from vri_pyro.label_issues.followed_labels import Followed, FollowedMove, joint
from vri_pyro.label_issues.many_classes import ManyClasses
from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.label_issues.two_observers import TwoObservers

CLASSES = 5
Simulated = tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]


def _simulated(
    seed: int, rate: float, followed: float, of_wrong: float, kept_out: float, size: int = 3000
) -> Simulated:
    """Return predictions, true classes, given labels and kept-out labels, and held-out decisions with their classes."""
    generator = torch.Generator().manual_seed(seed)

    def chance(count: int) -> Tensor:
        return torch.rand(count, generator=generator)

    def decisions(of_class: Tensor) -> Tensor:
        other = (of_class + torch.randint(1, CLASSES, of_class.shape, generator=generator)) % CLASSES
        return torch.where(chance(len(of_class)) < 0.75, of_class, other)

    truth, trusted = (torch.randint(CLASSES, (count,), generator=generator) for count in (size, 200))
    given = torch.where(chance(size) < rate, (truth + 1) % CLASSES, truth)
    unseen = chance(size) < kept_out
    follows = torch.where(given == truth, followed, followed * of_wrong)
    decided = torch.where((chance(size) < follows) & ~unseen, given, decisions(truth))
    p = 0.6 * F.one_hot(decided, CLASSES).double() + 0.4 / CLASSES
    return p, torch.stack([truth, given]), unseen, (decisions(trusted), trusted)


def test_probabilities_of_decision_and_label_are_those_of_the_model() -> None:
    generator = np.random.default_rng(0)
    confusion, transition = (generator.dirichlet(np.ones(3), 3) for _ in range(2))
    labelled = generator.dirichlet(np.ones(3))[:, None] * transition
    found = joint(confusion[None], labelled[None], np.array([0.6]), np.array([0.1]))[0]
    expected = np.zeros((3, 3))
    for c, k, y in np.ndindex(3, 3, 3):
        follows = 0.6 if c == y else 0.1
        expected[k, y] += labelled[c, y] * ((1 - follows) * confusion[c, k] + follows * (k == y))
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert found.sum() == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TwoObservers, ManyClasses])
def test_ranks_of_true_values_drawn_from_the_priors_are_uniform(kind: type[TwoObservers]) -> None:
    ranks, entries = [], []
    for trial in range(60):
        generator = np.random.default_rng(trial)
        u, b = (generator.beta(*shape) for shape in two_observers._MEASURED)
        drawn = observed(generator, 1, 3)
        truth = generator.choice(3, 300, p=drawn.share)
        decided, given = (of(generator, rows[truth]) for rows in (drawn.confusion, drawn.transition))
        unseen = generator.random(300) < 0.3
        follows = (generator.random(300) < np.where(given == truth, u, u * b)) & ~unseen
        decided[follows] = given[follows]
        of_model = drawn.observers._own, drawn.observers._trusted
        observers = kind(decided, given, *of_model, generator, None, unseen)
        matrices, right = observers.sample(60, 20 if kind is TwoObservers else 1, 1.0)
        count = int((truth == given).sum())
        ranks.append(np.mean(right + generator.random(60) < count + generator.random()))
        entries.append(np.mean(matrices[:, 0, 1] < drawn.transition[0, 1]))
    assert kstest(ranks, "uniform").pvalue > 0.01
    assert kstest(entries, "uniform").pvalue > 0.01


def test_moves_leave_the_priors_invariant() -> None:
    """Without data, moves of draws from the priors are draws from the priors."""
    generator, chains, classes = np.random.default_rng(3), 400, 3
    base = observed(generator, 1, classes).observers
    own = np.diag(base._own)
    states, shift = [], []
    for _ in range(chains):
        oftener, noise = generator.normal(0, two_observers._DOUBT), logit(generator.uniform(0.1, 0.9))
        rates = [1 / (1 + np.exp(-(logit(1 - own) + oftener))), np.full(classes, 1 / (1 + np.exp(-noise)))]
        shift.append([oftener, noise])
        states.append([matrix(generator, rate, 20.0, np.full((classes, classes - 1), 5.0)) for rate in rates])
    entries, shifts = np.array(states), np.array(shift)
    first, second = (
        two_observers._Matrix(
            entries[:, number],
            base._wrong(entries[:, number]),
            np.ones(chains),
            base._errors.start(chains)._replace(shift=shifts[:, number]),
        )
        for number in (0, 1)
    )
    nothing = np.zeros((classes, classes))
    tables, rates = np.zeros((2, classes, classes)), (base._errors, base._noises)
    move = FollowedMove(tables, nothing, nothing, rates, two_observers._MEASURED, generator)
    state = two_observers._Chains(np.full((chains, classes), 1 / classes), first, second, np.zeros(chains))
    shares = Followed(generator.beta(0.5, 1, chains), generator.beta(0.5, 1, chains))
    for _ in range(100):
        state, shares = move(state, shares)
    assert kstest(shares.right, "beta", (0.5, 1)).pvalue > 0.01
    assert kstest(shares.of_wrong, "beta", (0.5, 1)).pvalue > 0.01
    assert kstest(state.confusion.shared.shift / two_observers._DOUBT, "norm").pvalue > 0.01
    np.testing.assert_allclose(state.confusion.entries.sum(2), 1)
    np.testing.assert_allclose(1 - state.confusion.entries[:, 0, 0], state.confusion.wrong[:, 0])


def test_two_tables_without_followed_labels_are_one() -> None:
    """If nothing is followed, which labels were kept out makes no difference to the model."""
    p, (_, given), unseen, held_out = _simulated(0, 0.3, 0.0, 0.0, 0.3)
    one = transition_posterior(p, given, None, held_out, False, 100)
    other = transition_posterior(p, given, None, held_out, False, 100, unseen=unseen)
    assert torch.equal(one.noise_rate, other.noise_rate)
    generator = np.random.default_rng(0)
    decided, own, trusted = p.argmax(1).numpy(), 600 * (0.75 * np.eye(CLASSES) + 0.05), np.zeros((CLASSES, CLASSES))
    np.add.at(trusted, (held_out[1].numpy(), held_out[0].numpy()), 1)
    rates = []
    for kept_out in (None, unseen.numpy()):
        observers = TwoObservers(decided, given.numpy(), own, trusted, generator, None, kept_out)
        rates.append(1 - observers.sample(100, 20, 0.0)[1] / len(given))
    assert rates[0].mean() == pytest.approx(rates[1].mean(), abs=0.01)
    assert rates[0].std() == pytest.approx(rates[1].std(), rel=0.5)


@pytest.mark.parametrize(("rate", "followed", "of_wrong"), [(0.0, 0.6, 0.0), (0.3, 0.5, 0.2), (0.4, 0.05, 0.0)])
def test_kept_out_labels_narrow_the_interval_and_it_covers(rate: float, followed: float, of_wrong: float) -> None:
    covered, width, bounded = [], [], []
    for seed in range(4):
        p, (truth, given), unseen, held_out = _simulated(seed, rate, followed, of_wrong, 0.15)
        true = float((truth != given).double().mean())
        low, high = transition_posterior(p, given, None, held_out, True, 60, seed, unseen=unseen).noise_rate_interval()
        covered.append(low - 0.005 <= true <= high)
        width.append(high - low)
        without = transition_posterior(p, given, None, held_out, True, 60, seed).noise_rate_interval()
        bounded.append(without[1] - without[0])
    assert sum(covered) >= 3
    assert np.mean(width) < 0.85 * np.mean(bounded)


def test_no_false_alarm_if_all_labels_are_correct_and_most_are_memorised() -> None:
    for seed in range(2):
        p, (_, given), unseen, held_out = _simulated(seed, 0.0, 0.9, 0.0, 0.15)
        low, high = transition_posterior(p, given, None, held_out, True, 60, seed, unseen=unseen).noise_rate_interval()
        assert low < 0.005
        assert high < 0.12


def test_memorised_wrong_labels_do_not_hide_the_noise() -> None:
    """The classifier follows most wrong labels as well; the labels alone would seem to be correct."""
    p, (truth, given), unseen, held_out = _simulated(1, 0.4, 0.95, 0.9, 0.2)
    true = float((truth != given).double().mean())
    low, high = transition_posterior(p, given, None, held_out, True, 60, unseen=unseen).noise_rate_interval()
    assert low < true < high
    assert high - low < 0.15
    assert transition_posterior(p, given, None, held_out, True, 60).noise_rate_interval()[1] < true


def test_few_kept_out_labels_are_weak_evidence() -> None:
    def width(kept_out: float) -> float:
        p, (_, given), unseen, held_out = _simulated(2, 0.3, 0.5, 0.2, kept_out)
        low, high = transition_posterior(p, given, None, held_out, True, 60, unseen=unseen).noise_rate_interval()
        return high - low

    assert width(0.002) > 1.5 * width(0.3)


def test_sampler_for_many_classes_finds_the_posterior_of_the_one_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    p, (_, given), unseen, held_out = _simulated(3, 0.3, 0.5, 0.2, 0.2, 1500)
    found = []
    for most in (20_000, 0):
        monkeypatch.setattr(sys.modules[TransitionPosterior.__module__], "_MANY", most)
        found.append(transition_posterior(p, given, None, held_out, True, 200, unseen=unseen).noise_rate)
    assert float(found[1].mean()) == pytest.approx(float(found[0].mean()), abs=float(found[0].std()))
    assert float(found[1].std()) == pytest.approx(float(found[0].std()), rel=0.6)


def test_kept_out_labels_of_no_class_are_left_out_like_others() -> None:
    p, (_, given), unseen, held_out = _simulated(4, 0.3, 0.5, 0.2, 0.2, 600)
    weights = torch.cat([torch.zeros(300), torch.ones(300)])
    found = transition_posterior(p, given, weights, held_out, True, 20, unseen=unseen)
    assert (found.noise_rate >= 0.5).all()


def _evidence(followed: float, kept_out: float) -> Evidence:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(1500) % CLASSES
    x = 2 * F.one_hot(truth, CLASSES).double() + 1.2 * torch.randn(1500, CLASSES, generator=generator)
    count = 1300
    given = torch.where(torch.rand(count, generator=generator) < 0.4, (truth[:count] + 1) % CLASSES, truth[:count])
    unseen = torch.rand(count, generator=generator) < kept_out
    follows = (torch.rand(count, generator=generator) < followed) & ~unseen
    logits = torch.where(follows[:, None], 6 * F.one_hot(given, CLASSES).double(), 3 * x[:count])
    known = Trusted(3 * x[count:], x[count:], truth[count:], held_out=200)
    return Evidence(given, logits, x[:count], known, unseen=unseen if kept_out else None)


def test_ranking_takes_kept_out_labels_and_memorised_ones_are_no_problem_for_the_rate() -> None:
    evidence = _evidence(0.9, 0.2)
    assert evidence.unseen is not None
    seen = beliefs(evidence)
    agrees = evidence.logits.argmax(1) == evidence.given
    assert seen.agreement == pytest.approx(float(agrees[~evidence.unseen].double().mean()))
    assert consulted(evidence, seen, 20, None, 0).most_followed == 1
    issues = rank(evidence, draws=60)
    low, high = issues.transition.noise_rate_interval()
    assert low < 0.4 < high
    assert issues.problem == "memorised"
    assert issues.rate_problem is None
    assert issues.kept_out == int(evidence.unseen.sum())
    assert issues.advice is None
    assert issues.warning is not None
    assert f"with the help of the {issues.kept_out} labels that were kept out of training" in issues.warning


def test_command_advises_to_keep_labels_out_where_nobody_knows_how_many_are_followed() -> None:
    memorised = rank(_evidence(0.9, 0.0), draws=20)
    assert memorised.rate_problem == memorised.problem == "memorised"
    assert memorised.advice is not None
    assert "--split.noisy_holdout 0.1" in memorised.advice
    sure = rank(_evidence(0.0, 0.0), draws=20)
    low, high = sure.transition.noise_rate_interval()
    assert high - low < 0.2
    assert sure.advice is None

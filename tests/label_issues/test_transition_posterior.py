"""Tests of the transition matrix posterior and the ranking on simulated data with known true labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vri_pyro.label_issues import Evidence, LabelIssues, Trusted, detection, rank, transition_posterior
from vri_pyro.utils.errors import UserError

CLASSES = 4


def flip(rate: float) -> Tensor:
    """Return pair-flip noise: each class is flipped to the next one."""
    kept = (1 - rate) * torch.eye(CLASSES, dtype=torch.float64)
    return kept + rate * torch.eye(CLASSES, dtype=torch.float64).roll(1, dims=1)


def uniform(rate: float) -> Tensor:
    """Return symmetric noise: each class is flipped to any other class."""
    eye = torch.eye(CLASSES, dtype=torch.float64)
    return (1 - rate) * eye + rate / (CLASSES - 1) * (1 - eye)


def drawn(transition: Tensor, size: int, sharpness: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return calibrated probabilities, true classes drawn from them, and given labels."""
    p = (sharpness * torch.randn(size, CLASSES, dtype=torch.float64)).softmax(-1)
    classes = torch.multinomial(p, 1).squeeze(-1)
    return p, classes, torch.multinomial(transition[classes], 1).squeeze(-1)


def realised(classes: Tensor, given: Tensor) -> Tensor:
    counts = torch.bincount(classes * CLASSES + given, minlength=CLASSES**2).reshape(CLASSES, CLASSES).double()
    return counts / counts.sum(1, keepdim=True)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_matrix_and_noise_rate_are_found(rate: float) -> None:
    p, classes, given = drawn(flip(rate), 4000, sharpness=4.0)
    held, truth, _ = drawn(flip(rate), 400, sharpness=4.0)
    found = transition_posterior(p, given, held_out=(held.argmax(-1), truth), draws=60)
    assert found.transition.shape == (60, CLASSES, CLASSES)
    torch.testing.assert_close(found.transition.sum(-1), torch.ones(60, CLASSES, dtype=torch.float64))
    assert (found.transition.mean(0) - realised(classes, given)).abs().max() < 0.07
    low, high = found.noise_rate_interval()
    assert low - 0.02 < float((classes != given).double().mean()) < high + 0.02
    assert high - low < 0.12


@pytest.mark.parametrize("matrix", ["flip", "uniform", "none"])
def test_intervals_have_about_their_nominal_coverage(matrix: str) -> None:
    transition = {"flip": flip(0.3), "uniform": uniform(0.3), "none": flip(0.0)}[matrix]
    covered, errors = [], []
    for trial in range(12):
        torch.manual_seed(trial)
        p, classes, given = drawn(transition, 1500, sharpness=3.0)
        held, truth, _ = drawn(transition, 100, sharpness=3.0)
        found = transition_posterior(p, given, held_out=(held.argmax(-1), truth), draws=60)
        low, high = found.noise_rate_interval()
        true = float((classes != given).double().mean())
        covered.append(low - (0.005 if matrix == "none" else 0) <= true <= high)
        errors.append(float(found.noise_rate.mean()) - true)
    assert sum(covered) >= 10
    assert abs(sum(errors)) / 12 < 0.03


def test_overconfident_classifier_is_corrected_by_held_out_examples() -> None:
    p, classes, given = drawn(uniform(0.3), 3000, sharpness=2.0)
    held, truth, _ = drawn(uniform(0.3), 500, sharpness=2.0)
    sure = p.square() / p.square().sum(-1, keepdim=True)
    true = float((classes != given).double().mean())
    known = transition_posterior(sure, given, held_out=(held.argmax(-1), truth), draws=60).noise_rate
    blind = transition_posterior(sure, given, draws=60).noise_rate
    assert abs(float(known.mean()) - true) < 0.03
    assert abs(float(blind.mean()) - true) > 0.05


def test_intervals_cover_the_true_noise_rate_with_memorised_labels() -> None:
    confusion = 0.7 * torch.eye(CLASSES) + 0.1 * (1 - torch.eye(CLASSES))
    covered, widths, naive = [], [], []
    for trial in range(20):
        torch.manual_seed(trial)
        classes, truth = torch.randint(CLASSES, (2000,)), torch.randint(CLASSES, (300,))
        given = torch.multinomial(flip(0.3)[classes], 1).squeeze(-1)
        right = float(torch.rand(())) ** 2
        wrong = right * float(torch.distributions.Beta(0.5, 15.0).sample())
        decided, held = (torch.multinomial(confusion[c], 1).squeeze(-1) for c in (classes, truth))
        share = torch.where(classes == given, right, wrong)
        decided = torch.where(torch.rand(2000) < share, given, decided)
        p = 0.6 * torch.eye(CLASSES)[decided] + 0.1
        for found, trained_on in ((covered, True), (naive, False)):
            posterior = transition_posterior(p, given, None, (held, truth), trained_on, draws=100)
            low, high = posterior.noise_rate_interval()
            found.append(low <= float((classes != given).double().mean()) <= high)
            widths.append(high - low)
    assert sum(covered) >= 15
    assert sum(naive) <= 10
    assert sum(widths[::2]) / 20 < 0.3


def test_fewer_trusted_examples_give_wider_intervals() -> None:
    p, _, given = drawn(uniform(0.3), 3000, sharpness=3.0)
    held, truth, _ = drawn(uniform(0.3), 2000, sharpness=3.0)

    def width(count: int) -> float:
        some = (held.argmax(-1)[:count], truth[:count]) if count else None
        low, high = transition_posterior(p, given, held_out=some, draws=60).noise_rate_interval()
        return high - low

    assert width(0) > 1.5 * width(2000)


def test_draws_depend_on_the_seed_and_examples_of_no_class_count_as_wrong() -> None:
    p, _, given = drawn(flip(0.0), 1000, sharpness=6.0)
    first, second = (transition_posterior(p, given, draws=10, seed=3) for _ in range(2))
    assert torch.equal(first.transition, second.transition)
    assert not torch.equal(first.transition, transition_posterior(p, given, draws=10, seed=4).transition)
    half = transition_posterior(p, given, torch.cat([torch.zeros(500), torch.ones(500)]), draws=10)
    assert float(half.noise_rate.mean() - first.noise_rate.mean()) == pytest.approx(0.5, abs=0.1)


def evidence(trusted: int = 60, foreign: int = 0, own: Tensor | None = None) -> tuple[Evidence, Tensor]:
    """Classes in orthogonal directions, 40% flipped labels, and ``foreign`` examples far from every class."""
    centres = torch.eye(CLASSES, CLASSES + 1)
    classes = torch.arange(400) % CLASSES
    given = torch.multinomial(flip(0.4)[classes], 1).squeeze(-1)
    features = torch.cat([centres[classes], torch.eye(CLASSES + 1)[-1].expand(foreign, -1)])
    features = features + 0.2 * torch.randn(features.shape)
    logits = 6 * features[:, :CLASSES]
    known = torch.arange(trusted) % CLASSES
    held = centres[known] + 0.2 * torch.randn(trusted, CLASSES + 1)
    some = Trusted(6 * held[:, :CLASSES], held, known, held_out=trusted // 2) if trusted else None
    given = torch.cat([given, torch.arange(foreign) % CLASSES])
    wrong = given != torch.cat([classes, torch.full((foreign,), -1)])
    return Evidence(given, logits, features, some, own), wrong


def aurocs(issues: LabelIssues, wrong: Tensor) -> dict[str, float]:
    found = {name: detection(score, wrong) for name, score in issues.scores.items()}
    return {name: one.auroc for name, one in found.items() if one is not None}


def test_combined_score_detects_flips_and_examples_of_no_class() -> None:
    known, wrong = evidence(foreign=150)
    issues = rank(known, draws=20)
    found = aurocs(issues, wrong)
    assert found["combined"] > 0.98
    assert found["combined"] > max(found["self_confidence"], found["open_set"], found["clean_class"])
    assert float((issues.suggested[400:] == -1).float().mean()) > 0.9
    assert float((issues.suggested[:400] == -1).float().mean()) < 0.02
    ones = torch.ones(550, dtype=torch.float64)
    torch.testing.assert_close(issues.posterior.sum(-1), ones, atol=1e-6, rtol=0)  # they are kept as float32
    assert issues.score[issues.order()].diff().max() <= 0
    assert ((issues.uncertainty >= 0) & (issues.uncertainty <= 1)).all()
    torch.testing.assert_close(issues.score, 1 - issues.posterior[torch.arange(550), issues.given], check_dtype=False)


def test_without_trusted_examples_there_is_no_open_set_score_and_no_temperature() -> None:
    known, wrong = evidence(trusted=0)
    issues = rank(known, draws=20)
    assert "open_set" not in issues.scores
    assert issues.temperature == 1.0
    assert torch.equal(issues.posterior[:, -1], torch.zeros(400, dtype=torch.float64))
    assert aurocs(issues, wrong)["combined"] > 0.95


def test_clean_class_uses_the_learned_transition_matrix() -> None:
    torch.manual_seed(0)
    known, _ = evidence(own=torch.eye(CLASSES))
    believing = rank(known, draws=20)
    torch.testing.assert_close(believing.scores["clean_class"], torch.zeros(400, dtype=torch.float64))
    torch.manual_seed(0)
    estimated = rank(evidence()[0], draws=20)
    torch.testing.assert_close(believing.score, estimated.score)
    assert estimated.scores["clean_class"].max() > 0.9


def test_noise_rate_is_found_with_many_classes_and_few_examples() -> None:
    """Most cells of decision and label have at most one example."""
    classes, generator = 40, np.random.default_rng(0)
    errors = generator.dirichlet(np.full(classes, 0.05), classes) * (1 - np.eye(classes))
    errors /= errors.sum(1, keepdims=True)

    def decided(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities with calibrated confidence and uniform errors, and the decisions."""
        sure = generator.beta(3, 1, len(truth))
        wrong = [generator.choice(classes, p=errors[one]) for one in truth]
        decision = np.where(generator.random(len(truth)) < sure, truth, wrong)
        p = np.repeat((1 - sure)[:, None] / (classes - 1), classes, 1)
        p[np.arange(len(truth)), decision] = sure
        return p, p.argmax(1)

    truth, trusted = generator.integers(classes, size=1600), np.arange(200) % classes
    given = np.where(generator.random(1600) < 0.4, (truth + 1) % classes, truth)
    p, (_, decisions) = decided(truth)[0], decided(trusted)
    held_out = torch.from_numpy(decisions), torch.from_numpy(trusted)
    found = transition_posterior(torch.from_numpy(p), torch.from_numpy(given), None, held_out, draws=40)
    assert float(found.noise_rate.mean()) == pytest.approx((given != truth).mean(), abs=0.02)


def test_uncertainty_about_open_set_examples_widens_the_noise_rate_interval() -> None:
    p, classes, given = drawn(flip(0.0), 400, sharpness=100.0)
    decisions = p.argmax(-1), classes
    sure, doubtful = (
        transition_posterior(p, given, weights, decisions, draws=100).noise_rate
        for weights in ((torch.arange(400) < 280).double(), torch.full((400,), 0.7))
    )
    assert float(doubtful.mean()) == pytest.approx(float(sure.mean()), abs=0.05)
    assert float(doubtful.std()) > 0.8 * (0.7 * 0.3 / 400) ** 0.5
    assert float(sure.std()) < 0.5 * float(doubtful.std())


@pytest.mark.parametrize("shape", [(0, 3), (5, 1)])
def test_no_examples_or_a_single_class_raise(shape: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="expected at least one example and two classes"):
        transition_posterior(torch.ones(shape), torch.zeros(shape[0], dtype=torch.int64))

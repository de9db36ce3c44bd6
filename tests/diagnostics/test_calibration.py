"""Tests of calibration measures against their definitions, and of the prior predictive."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from vri_pyro.diagnostics.calibration import calibration, ece_by_chance, fitted_temperature, prior_predictive
from vri_pyro.guides import DiagonalNormal
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import CrossEntropy, GatedRectification, MaskedGuide, Rectification, WeightedCrossEntropy
from vri_pyro.utils.errors import UserError


def drawn(size: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return logits, and labels drawn from softmax(logits / temperature)."""
    logits = 3 * torch.randn(size, 5, dtype=torch.float64)
    return logits, torch.multinomial((logits / temperature).softmax(-1), 1).squeeze(-1)


def test_scores_equal_their_definitions() -> None:
    logits, labels = drawn(200)
    p = logits.softmax(-1)
    found = calibration(p, labels, bins=10)
    assert found.nll == pytest.approx(float(F.cross_entropy(logits, labels)))
    one_hot = F.one_hot(labels, 5)
    assert found.brier == pytest.approx(float((p - one_hot).square().sum(-1).mean()))
    assert found.accuracy == pytest.approx(float((p.argmax(-1) == labels).double().mean()))
    assert found.confidence == pytest.approx(float(p.max(-1).values.mean()))


def test_expected_calibration_error_follows_from_the_reliability_curve() -> None:
    logits, labels = drawn(500, temperature=3.0)
    found = calibration(logits.softmax(-1), labels, bins=7)
    curve = found.reliability
    assert int(curve.counts.sum()) == 500
    expected = multiclass_calibration_error(logits.softmax(-1).double(), labels, logits.shape[1], n_bins=7)
    assert found.ece == pytest.approx(float(expected))
    assert found.confidence > found.accuracy
    for number in range(7):
        if curve.counts[number]:
            assert number / 7 <= curve.confidence[number] <= (number + 1) / 7
        else:
            assert math.isnan(curve.confidence[number])


def test_predictions_with_confidence_one_are_in_the_last_bin() -> None:
    rows = torch.tensor([[1.0, 0.0]] * 20 + [[0.97, 0.03]] * 20, dtype=torch.float64)
    found = calibration(rows, torch.tensor([0] * 19 + [1] + [0] * 20))
    assert found.reliability.counts.tolist() == [0] * 14 + [40]
    assert found.ece == pytest.approx(abs(39 / 40 - (1 + 0.97) / 2))


def test_probability_above_one_by_rounding_counts_as_one() -> None:
    sure = torch.tensor([[1 + 1e-7, 0.0]] * 10, dtype=torch.float64)
    found = calibration(sure, torch.tensor([0] * 7 + [1] * 3))
    assert found.ece == pytest.approx(0.3, abs=1e-6)


def test_calibrated_predictions_have_a_small_error_and_overconfident_ones_a_large_one() -> None:
    logits, labels = drawn(20_000)
    assert calibration(logits.softmax(-1), labels).ece < 0.02
    assert calibration((4 * logits).softmax(-1), labels).ece > 0.1


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 4.0])
def test_temperature_of_the_labels_is_recovered(temperature: float) -> None:
    logits, labels = drawn(20_000, temperature)
    assert fitted_temperature(logits, labels) == pytest.approx(temperature, rel=0.06)


def test_few_correct_examples_do_not_push_the_temperature_to_its_bound() -> None:
    logits, labels = 5 * torch.eye(4), torch.arange(4)
    assert 0.7 < fitted_temperature(logits, labels) < 1
    assert fitted_temperature(logits.repeat(10_000, 1), labels.repeat(10_000)) < 0.5


def test_temperature_stays_within_its_bounds() -> None:
    logits, labels = 5 * torch.eye(4), torch.arange(4)
    right, wrong = labels.repeat(1000), labels.roll(1).repeat(1000)
    assert fitted_temperature(logits.repeat(1000, 1) / 100, right) == pytest.approx(1 / 20, rel=1e-3)
    assert fitted_temperature(logits.repeat(1000, 1), wrong) == pytest.approx(20, rel=1e-3)


def test_invalid_arguments_raise() -> None:
    with pytest.raises(UserError, match=r"probabilities have shape \[0, 3\] and labels \[0\]"):
        calibration(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(UserError, match="bins is 0; expected an integer >= 1"):
        calibration(torch.ones(2, 1), torch.zeros(2, dtype=torch.int64), bins=0)


def output() -> ClassifierOutput:
    return ClassifierOutput(2 * torch.randn(6, 3), torch.randn(6, 4))


def test_prior_predictive_averages_over_draws_from_the_prior() -> None:
    model, seen = Rectification(4, 3), output()
    torch.manual_seed(1)
    found = prior_predictive(model, seen, draws=30)
    torch.manual_seed(1)
    total = torch.zeros(6, 3)
    for _ in range(30):
        total += (model.link(model.prior(seen.features).sample()) * seen.logits).softmax(-1) / 30
        torch.distributions.Categorical(logits=total).sample()  # the model also samples the label
    assert found is not None
    torch.testing.assert_close(found, total.detach())


def test_prior_predictive_works_for_masked_priors_and_gates() -> None:
    masked = Rectification(4, 3, MaskedGuide)
    masked.bind(DiagonalNormal(4, 3, hidden=(5,)))
    for model in (masked, GatedRectification(4, 3), WeightedCrossEntropy(4, 3)):
        found = prior_predictive(model, output(), draws=2)
        assert found is not None
        torch.testing.assert_close(found.sum(-1), torch.ones(6))


def test_prior_predictive_is_none_without_per_example_latents() -> None:
    assert prior_predictive(CrossEntropy(4, 3), output()) is None


def test_overconfidence_is_the_part_of_the_error_where_confidence_exceeds_accuracy() -> None:
    # 60 predictions with confidence 0.9, of which 30 are correct, and 40 with confidence 0.6, of which 36 are correct
    confidence = torch.tensor([0.9] * 60 + [0.6] * 40, dtype=torch.float64)
    right = torch.tensor([1] * 30 + [0] * 30 + [1] * 36 + [0] * 4)
    found = calibration(torch.stack([confidence, 1 - confidence], 1), 1 - right)
    assert found.overconfidence == pytest.approx(0.6 * 0.4)
    assert found.ece == pytest.approx(0.6 * 0.4 + 0.4 * 0.3)
    assert found.confidence - found.accuracy == pytest.approx(2 * found.overconfidence - found.ece)


def test_error_of_a_calibrated_classifier_is_below_the_one_by_chance_in_95_percent_of_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    below = 0
    for _ in range(400):
        confidence = 0.5 + 0.5 * torch.rand(100, generator=generator, dtype=torch.float64)
        right = torch.rand(100, generator=generator) < confidence
        found = calibration(torch.stack([confidence, 1 - confidence], 1), (~right).long())
        below += found.ece <= ece_by_chance(found.reliability, draws=200)
    assert below / 400 == pytest.approx(0.95, abs=0.04)


def test_error_by_chance_falls_with_the_number_of_examples() -> None:
    confidence = torch.full((100,), 0.7, dtype=torch.float64)
    few, many = (
        ece_by_chance(calibration(torch.stack([c, 1 - c], 1), torch.zeros(len(c), dtype=torch.int64)).reliability)
        for c in (confidence, confidence.repeat(100))
    )
    # in a single bin, the error is |mean of Bernoulli(0.7) - 0.7|
    assert few == pytest.approx(1.96 * (0.21 / 100) ** 0.5, rel=0.15)
    assert many == pytest.approx(few / 10, rel=0.15)

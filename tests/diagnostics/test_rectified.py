"""Tests of rectified predictions and losses against closed forms."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.nn import functional as F

from vri_pyro.diagnostics import rectified
from vri_pyro.guides import DiagonalNormal, DiracVector, NoLatents, ScalarWeight
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import CrossEntropy, Rectification, StandardNormal, WeightedCrossEntropy
from vri_pyro.utils.errors import UserError

FEATURES, CLASSES = 5, 3


@pytest.fixture
def output() -> ClassifierOutput:
    return ClassifierOutput(2 * torch.randn(6, CLASSES), torch.randn(6, FEATURES))


@pytest.fixture
def y() -> torch.Tensor:
    return torch.tensor([0, 1, 2, 2, 1, 0])


def test_dirac_guide_multiplies_the_logits_once(output: ClassifierOutput, y: torch.Tensor) -> None:
    model = Rectification(FEATURES, CLASSES, StandardNormal)
    guide = DiracVector(FEATURES, CLASSES, hidden=(4,))
    logits = guide.posterior(output, y).mean.sigmoid() * output.logits
    found = rectified(model, guide, output, y, draws=3)
    torch.testing.assert_close(found.probabilities, logits.softmax(-1).detach())
    torch.testing.assert_close(found.loss, F.cross_entropy(logits, y, reduction="none").detach())
    torch.testing.assert_close(found.original_loss, F.cross_entropy(output.logits, y, reduction="none"))


def test_draws_are_averaged_as_probabilities_and_as_losses(output: ClassifierOutput, y: torch.Tensor) -> None:
    model, guide = Rectification(FEATURES, CLASSES), DiagonalNormal(FEATURES, CLASSES, hidden=(4,))
    torch.manual_seed(1)
    found = rectified(model, guide, output, y, draws=50)
    torch.manual_seed(1)
    q = guide.posterior(output, y)
    logits = torch.stack([q.sample().sigmoid() for _ in range(50)]) * output.logits
    torch.testing.assert_close(found.probabilities, logits.softmax(-1).mean(0))
    losses = -logits.log_softmax(-1)[:, torch.arange(6), y]
    torch.testing.assert_close(found.loss, losses.mean(0))


def test_weight_of_an_example_multiplies_its_loss_and_not_its_prediction(
    output: ClassifierOutput, y: torch.Tensor
) -> None:
    model, guide = WeightedCrossEntropy(FEATURES, CLASSES), ScalarWeight(FEATURES, CLASSES, hidden=(4,))
    found = rectified(model, guide, output, y)
    torch.testing.assert_close(found.probabilities, output.logits.softmax(-1))
    weight = found.loss / found.original_loss
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    assert weight.std() > 1e-3


def test_without_latents_nothing_is_rectified(output: ClassifierOutput, y: torch.Tensor) -> None:
    found = rectified(CrossEntropy(FEATURES, CLASSES), NoLatents(FEATURES, CLASSES), output, y, draws=1)
    torch.testing.assert_close(found.loss, found.original_loss)


def test_model_without_a_label_site_raises(output: ClassifierOutput, y: torch.Tensor) -> None:
    def model(output: ClassifierOutput, y: torch.Tensor) -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("label", dist.Categorical(logits=output.logits), obs=y)

    with pytest.raises(UserError, match="no categorical site 'y'; observe the labels in"):
        rectified(model, NoLatents(FEATURES, CLASSES), output, y)


def test_a_plate_that_subsamples_does_not_scale_the_loss(output: ClassifierOutput, y: torch.Tensor) -> None:
    def model(output: ClassifierOutput, y: torch.Tensor) -> None:
        with pyro.plate("data", 60, subsample=range(6)):
            pyro.sample("y", dist.Categorical(logits=output.logits), obs=y)

    found = rectified(model, lambda output, y: None, output, y)
    torch.testing.assert_close(found.loss, found.original_loss)

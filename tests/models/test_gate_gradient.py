"""The gradient of the weighted loss with respect to the gates, against the formula written out by hand."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import WeightedCrossEntropy
from vri_pyro.models.gate import Normaliser

BATCH, CLASSES, FEATURES = 6, 3, 4


def _loss(gates: Tensor, logits: Tensor, y: Tensor, normalise: Normaliser = "batch_sum") -> Tensor:
    """The weighted loss per example at given gates, [], as the model has it; ``gates`` may have a particle each row."""
    model = WeightedCrossEntropy(FEATURES, CLASSES, normalise)
    output = ClassifierOutput(logits, torch.zeros(BATCH, FEATURES))
    conditioned = poutine.condition(model, data={"gate": gates})
    if gates.dim() == 2:
        conditioned = pyro.plate("particles", len(gates), dim=-2)(conditioned)
    trace = poutine.trace(conditioned).get_trace(output, y)
    trace.compute_log_prob()
    return -trace.nodes["y"]["log_prob"].mean()


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels, and the cross entropy of each example."""
    logits, y = 2 * torch.randn(BATCH, CLASSES), torch.arange(BATCH) % CLASSES
    return logits, y, F.cross_entropy(logits, y, reduction="none")


def test_gradient_of_a_weight_is_by_how_much_its_loss_differs_from_the_weighted_mean() -> None:
    """With L = Σ wᵢ lᵢ / Σ wᵢ, the derivative is ∂L/∂wⱼ = (lⱼ − L) / Σ wᵢ, which has a part from the mean weight."""
    logits, y, losses = _batch()
    gates = torch.randn(BATCH).requires_grad_()
    loss = _loss(gates, logits, y)
    (gradient,) = torch.autograd.grad(loss, gates)
    weights = gates.detach().sigmoid()
    expected_loss = (weights * losses).sum() / weights.sum()
    slope = weights * (1 - weights)
    torch.testing.assert_close(loss.detach(), expected_loss)
    torch.testing.assert_close(gradient, slope * (losses - expected_loss) / weights.sum())


def test_gradient_of_a_weight_is_its_loss_if_the_weights_are_not_normalised() -> None:
    """With L = Σ wᵢ lᵢ / n, the derivative is ∂L/∂wⱼ = lⱼ / n, so that lower weights always lower the loss."""
    logits, y, losses = _batch()
    gates = torch.randn(BATCH).requires_grad_()
    loss = _loss(gates, logits, y, "batch_size")
    (gradient,) = torch.autograd.grad(loss, gates)
    weights = gates.detach().sigmoid()
    torch.testing.assert_close(loss.detach(), (weights * losses).sum() / BATCH)
    torch.testing.assert_close(gradient, weights * (1 - weights) * losses / BATCH)


def test_scaling_all_weights_alike_has_no_gradient() -> None:
    """A guide gains nothing by switching off every example of a batch."""
    logits, y, _ = _batch()
    log_scale = torch.zeros(()).requires_grad_()
    gates = (0.4 * torch.rand(BATCH) * log_scale.exp()).logit()
    (gradient,) = torch.autograd.grad(_loss(gates, logits, y), log_scale)
    torch.testing.assert_close(gradient, torch.zeros(()))


def test_descent_switches_off_the_largest_loss_and_on_the_smallest() -> None:
    logits, y, losses = _batch()
    gates = torch.zeros(BATCH).requires_grad_()
    (gradient,) = torch.autograd.grad(_loss(gates, logits, y), gates)
    harmless, harmful = losses.argmin(), losses.argmax()
    assert gradient[harmful] > 0  # a step of descent switches it off
    assert gradient[harmless] < 0  # and this one on, although its own weighted loss grows
    torch.testing.assert_close(gradient.sum(), torch.zeros(()))


@pytest.mark.parametrize("particles", [1, 3])
def test_each_particle_has_a_mean_weight_of_its_own(particles: int) -> None:
    logits, y, losses = _batch()
    gates = torch.randn(particles, BATCH).requires_grad_()
    (gradient,) = torch.autograd.grad(_loss(gates, logits, y), gates)
    weights = gates.detach().sigmoid()
    total = weights.sum(-1, keepdim=True)
    mean_loss = (weights * losses).sum(-1, keepdim=True) / total
    expected = weights * (1 - weights) * (losses - mean_loss) / total / particles
    torch.testing.assert_close(gradient, expected)

"""Tests of elbo_trained, nuts_agreement and simulation_based_calibration on right and wrong guides."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from vri_pyro.diagnostics import elbo_trained, nuts_agreement, nuts_draws, simulation_based_calibration
from vri_pyro.diagnostics.nuts_agreement import compare
from vri_pyro.guides import DiagonalNormal
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import Rectification, StandardNormal
from vri_pyro.utils.errors import UserError

NOISE = 0.5
PRECISION = 1 + 1 / NOISE**2


class Conjugate(nn.Module):
    def forward(self, size: int, y: Tensor | None = None) -> None:
        with pyro.plate("data", size):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            pyro.sample("y", dist.Normal(z, NOISE).to_event(1), obs=y)


class Amortised(nn.Module):
    """The conjugate model's posterior, shifted and scaled; exact for shift 0 and scale 1."""

    def __init__(self, shift: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, size: int, y: Tensor) -> None:
        width = self.log_scale.exp() * PRECISION**-0.5
        with pyro.plate("data", size):
            pyro.sample("z", dist.Normal(y / NOISE**2 / PRECISION + self.shift, width).to_event(1))


def calibration(guide: nn.Module):
    return simulation_based_calibration(Conjugate(), guide, 40, given=lambda drawn: (40, drawn["y"]), simulations=10)[
        "z"
    ]


def test_guide_trained_on_the_elbo_finds_the_posterior_and_the_original_is_unchanged() -> None:
    y = torch.randn(6, 2)
    start = Amortised(0.7, 3.0)
    found = elbo_trained(Conjugate(), start, lambda: (6, y), steps=400, lr=0.05)
    assert found.shift.item() == pytest.approx(0, abs=0.02)
    assert found.log_scale.exp().item() == pytest.approx(1, abs=0.03)
    assert start.shift.item() == pytest.approx(0.7)


def test_only_the_copy_is_trained() -> None:
    output, y = ClassifierOutput(torch.randn(4, 3), torch.randn(4, 5)), torch.tensor([0, 1, 2, 0])
    model, guide = Rectification(5, 3), DiagonalNormal(5, 3, hidden=(4,))
    before = [p.clone() for p in model.parameters()]
    elbo_trained(model, guide, lambda: (output, y), steps=3, lr=0.1)
    assert all(torch.equal(p, old) and p.grad is None for p, old in zip(model.parameters(), before, strict=True))


def test_exact_posterior_is_calibrated() -> None:
    found = calibration(Amortised())
    assert found.transforms.shape == (400, 2)
    assert found.p_value > 0.01
    assert found.coverage == pytest.approx(0.9, abs=0.04)
    assert found.spread == pytest.approx(1, abs=0.06)
    assert found.verdict.startswith("calibrated, according to 400 simulations")


def test_likelihood_ranks_distinguish_prior_from_posterior() -> None:
    class Prior(Amortised):
        def forward(self, size: int, y: Tensor) -> None:
            with pyro.plate("data", size):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))

    def simulated(guide: nn.Module) -> dict:
        return simulation_based_calibration(
            Conjugate(), guide, 40, given=lambda drawn: (40, drawn["y"]), simulations=10
        )

    exact, prior = simulated(Amortised()), simulated(Prior())
    assert set(exact) == {"z", "log p(y)"}
    assert exact["log p(y)"].transforms.shape == (400, 1)
    assert exact["log p(y)"].verdict.startswith("calibrated")
    assert prior["z"].verdict.startswith("calibrated")  # on average over data, the prior is calibrated
    assert prior["log p(y)"].verdict.startswith("not calibrated: misplaced")
    assert prior["log p(y)"].transforms.mean() > 0.6


def test_guide_without_the_latents_raises() -> None:
    with pytest.raises(UserError, match="the guide samples no latents"):
        simulation_based_calibration(Conjugate(), lambda *_: None, 3, given=lambda drawn: (3, drawn["y"]))
    with pytest.raises(UserError, match="the guide does not sample 'z', which NUTS did"):
        nuts_agreement({"z": torch.zeros(5, 2)}, lambda: pyro.sample("other", dist.Normal(0, 1)))


def test_exact_posterior_is_calibrated_for_many_simulations_and_discrete_latents() -> None:
    precise = simulation_based_calibration(
        Conjugate(), Amortised(), 2000, given=lambda drawn: (2000, drawn["y"]), simulations=5
    )
    assert precise["z"].p_value > 0.01

    def model(size: int, y: Tensor | None = None) -> None:
        with pyro.plate("data", size):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(size: int, y: Tensor) -> None:
        with pyro.plate("data", size):
            pyro.sample("z", dist.Bernoulli(logits=y - 0.5))

    of_two_values = simulation_based_calibration(
        model, guide, 400, given=lambda drawn: (400, drawn["y"]), simulations=5
    )["z"]
    assert of_two_values.p_value > 0.01
    assert of_two_values.coverage == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(
    ("guide", "verdict"),
    [
        ((0.0, 0.6), "not calibrated: too narrow"),
        ((0.0, 1.6), "not calibrated: too wide"),
        ((-0.2, 1.0), "not calibrated: misplaced"),
    ],
)
def test_wrong_guides_are_detected(guide: tuple[float, float], verdict: str) -> None:
    found = calibration(Amortised(*guide))
    assert found.p_value < 0.01
    assert verdict in found.verdict


def test_guide_with_an_extra_latent_raises() -> None:
    def guide(size: int, y: Tensor) -> None:
        pyro.sample("other", dist.Normal(0, 1))

    with pytest.raises(UserError, match="the guide samples 'other', which the model does not"):
        simulation_based_calibration(Conjugate(), guide, 3, given=lambda drawn: (3, drawn["y"]), simulations=1)


def test_comparison_of_two_normals_equals_the_closed_form() -> None:
    drawn, exact = 0.5 + 0.8 * torch.randn(40_000), torch.randn(40_000)
    found = compare(drawn, exact)
    assert found.shift.item() == pytest.approx(0.5, abs=0.03)
    assert found.scale.item() == pytest.approx(0.8, abs=0.02)
    normal = torch.distributions.Normal(0.0, 1.0)
    edges = 0.5 + 0.8 * normal.icdf(torch.tensor([0.05, 0.95]))
    assert found.coverage.item() == pytest.approx(float(normal.cdf(edges).diff()), abs=0.01)


def test_guide_trained_on_the_elbo_agrees_with_nuts_on_the_rectification_model() -> None:
    classes = 3
    output = ClassifierOutput(2 * torch.randn(2, classes), torch.randn(2, 6))
    y = torch.tensor([0, 1])
    model, guide = Rectification(6, classes, StandardNormal), DiagonalNormal(6, classes, hidden=(16,))
    exact = nuts_draws(model, output, y, num_draws=800, warmup=150)
    before = nuts_agreement(exact, guide, output, y)["v"]
    trained = elbo_trained(model, guide, lambda: (output, y), steps=400, lr=2e-2)
    found = nuts_agreement(exact, trained, output, y)["v"]
    assert found.shift.shape == (2, classes)
    # Guide and posterior may differ by 0.1 and 10%; the rest is three standard errors of estimates from 800 draws.
    assert found.shift.abs().max() < 0.1 + 3 * (2 / 800) ** 0.5
    assert (found.scale - 1).abs().max() < 0.1 + 3 * (1 / 800) ** 0.5
    assert (found.coverage - 0.9).abs().max() < 0.03 + 3 * (2 * 0.09 / 800) ** 0.5
    assert before.shift.abs().max() > 2 * found.shift.abs().max()

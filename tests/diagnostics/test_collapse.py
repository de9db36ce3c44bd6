"""Tests of the collapse measures against known values, and on runs trained to collapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from vri_pyro.cli.main import main
from vri_pyro.diagnostics import choose_examples, collapse, outputs_of, posterior_curves
from vri_pyro.guides import DiagonalNormal, NormalisingFlow
from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import MixtureOfNormals, Rectification, StandardNormal, VampPrior
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

CLASSES = 3
OUTPUT = ClassifierOutput(torch.randn(40, CLASSES), torch.randn(40, 5))
Y = torch.arange(40) % CLASSES


class Fixed(Guide):
    """q(v | x, y) = Normal(shift · y + pull · x₀, scale²) in every dimension."""

    def __init__(self, shift: float, pull: float, scale: float) -> None:
        super().__init__()
        self.shift, self.pull, self.scale = shift, pull, scale

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        mean = self.shift * y + self.pull * output.features[:, 0]
        with pyro.plate("data", len(y)):
            pyro.sample("v", dist.Normal(mean.unsqueeze(-1).expand(-1, CLASSES), self.scale).to_event(1))


def measured(shift: float, pull: float, scale: float):
    model = Rectification(5, CLASSES, StandardNormal)
    halves = [
        (ClassifierOutput(OUTPUT.logits[half], OUTPUT.features[half]), Y[half])
        for half in (slice(0, 15), slice(15, 40))
    ]
    return collapse(model, Fixed(shift, pull, scale), halves)["v"]


def test_measures_equal_closed_forms() -> None:
    found = measured(0.5, 0.7, 0.4)
    means = (0.5 * Y + 0.7 * OUTPUT.features[:, 0]).numpy()
    kl = (means**2 + 0.4**2 - 1) / 2 - np.log(0.4)
    assert found.kl == pytest.approx(CLASSES * kl.mean())
    np.testing.assert_allclose(found.kl_per_dimension, kl.mean())
    assert found.posterior_std == pytest.approx(0.4)
    assert found.prior_std == 1
    assert found.variance_norm == pytest.approx(0.4**2 * CLASSES**0.5)
    assert found.shift == pytest.approx(np.abs(means).mean())
    assert found.active_units == CLASSES
    by_label, by_input = 0.5**2 * 2 / 3, 0.7**2 * OUTPUT.features[:, 0].var(correction=0).item()
    assert found.label_share == pytest.approx(by_label / (by_label + by_input + 0.4**2))
    assert found.verdict.startswith("did not collapse")
    assert found.sound


@pytest.mark.parametrize(
    ("guide", "verdict"),
    [
        ((0.5, 0.5, 0.01), "collapsed to a point: its standard deviation is 0.01, below 0.05"),
        ((0.01, 0.0, 1.0), "collapsed to the prior: the KL is"),
        ((0.01, 1.0, 0.5), "ignores the label: the label explains 0.0"),
    ],
)
def test_each_form_of_collapse_has_its_verdict(guide: tuple[float, float, float], verdict: str) -> None:
    found = measured(*guide)
    assert found.verdict.startswith(verdict)
    assert not found.sound


def test_constant_units_are_inactive() -> None:
    assert measured(0.0, 0.0, 0.5).active_units == 0


def test_moments_without_closed_form_are_estimated_from_draws() -> None:
    model = Rectification(5, CLASSES, StandardNormal)
    found = collapse(model, NormalisingFlow(5, CLASSES, hidden=(4,)), [(OUTPUT, Y)])["v"]
    assert np.isnan(found.kl_per_dimension).all()
    assert 0.1 < found.posterior_std < 10


class TwoModes(Guide):
    """q(v | x, y) = ½ Normal(10·i − 1, 0.1²) + ½ Normal(10·i + 1, 0.1²) for the i-th example."""

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        middle = 10.0 * torch.arange(len(y))[:, None, None].expand(-1, 2, CLASSES)
        locations = middle + torch.tensor([-1.0, 1.0])[:, None]
        with pyro.plate("data", len(y)):
            mixture = dist.MixtureOfDiagNormals(locations, torch.full_like(locations, 0.1), torch.zeros(len(y), 2))
            pyro.sample("v", mixture)


def test_mixture_moments_are_estimated_separately_for_each_example() -> None:
    size = 15
    output = ClassifierOutput(OUTPUT.logits[:size], OUTPUT.features[:size])
    found = collapse(Rectification(5, CLASSES, StandardNormal), TwoModes(), [(output, Y[:size])])["v"]
    assert found.posterior_std == pytest.approx((1 + 0.1**2) ** 0.5, abs=0.05)
    assert found.shift == pytest.approx(10 * np.arange(size).mean(), abs=0.2)


@pytest.mark.parametrize("prior", [VampPrior, MixtureOfNormals])
def test_prior_moments_without_closed_form_are_estimated_for_any_batch_size(prior: type[Prior]) -> None:
    model, guide = Rectification(5, CLASSES, prior), DiagonalNormal(5, CLASSES, hidden=(4,))
    model.bind(guide)
    found = collapse(model, guide, [(OUTPUT, Y)])["v"]
    with torch.no_grad():
        drawn = model.prior(OUTPUT.features[:1]).expand((20_000,)).sample()
    assert found.prior_std == pytest.approx(drawn.std(0).mean().item(), rel=0.1)


def test_no_batches_raise() -> None:
    with pytest.raises(UserError, match="there are no per-example latents to measure"):
        collapse(Rectification(5, CLASSES), DiagonalNormal(5, CLASSES), [])


KL = ("--method", "vri_pyro.methods.SingleLevel", "--method.pool", "noisy", "--optimizer", "torch.optim.Adam")
PAIR = ("--method.guide", "vri_pyro.guides.DiagonalNormal", "--method.guide.hidden", "[16]")
RECTIFICATION = ("--method.model", "vri_pyro.models.Rectification")
RUNS = {
    "to the prior": (
        *(*KL, "--method.kl_weight", "100", *RECTIFICATION, "--method.model.prior", "vri_pyro.models.StandardNormal"),
        *PAIR,
    ),
    "to a point": (  # as described in the paper: prior and posterior shrink together, which costs no KL
        *(*KL, "--method.kl_weight", "1", *RECTIFICATION, "--method.model.prior", "vri_pyro.models.LearnedNormal"),
        *("--method.model.prior.log_variance_bounds", "[-16,-8]", *PAIR),
    ),
    "as the Dirac twin": (
        *(*KL, "--method.kl_weight", "0", *RECTIFICATION, "--method.model.prior", "vri_pyro.models.StandardNormal"),
        *("--method.guide", "vri_pyro.guides.DiracVector", "--method.guide.hidden", "[16]"),
    ),
}
VERDICTS = {"to the prior": "collapsed to the prior", "to a point": "collapsed to a point"}


@pytest.mark.parametrize("way", RUNS)
def test_collapse_of_a_trained_run_is_detected(way: str, tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    shared = ["--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[16]", "--optimizer.lr", "0.01"]
    shared += ["--epochs", "40", "--threads", "1", "--quiet", "true", "--output", str(tmp_path / "run")]
    assert main(["fit", *RUNS[way], *shared]) == 0
    run = Run(tmp_path / "run")
    found = collapse(run.model, run.guide, [outputs_of(run, choose_examples(run.split, 200))])["v"]
    assert found.verdict.startswith(VERDICTS.get(way, "collapsed to a point"))
    curves = posterior_curves(run.folder)
    assert len(curves["posterior_std"]) == len(curves["posterior_variance_norm"]) == 40
    assert curves["posterior_std"][-1] == pytest.approx(found.posterior_std, rel=0.2, abs=1e-3)
    if way == "to a point":
        assert curves["posterior_std"][-1] < 0.1 * curves["posterior_std"][0]

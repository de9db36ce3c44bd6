"""The configurations of methods made of models and guides agree with their papers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from infer.toys import Dense, batch
from torch import nn
from torch.optim import SGD

from vri_pyro.cli import fit
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.interfaces.classifier import ClassifierOutput

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
CLASSES = 10


def _algorithm(name: str) -> BilevelSVI:
    parser = fit.build_parser()
    options = parser.parse_args(["--config", str(CONFIGS / f"{name}.yaml")])
    algorithm = parser.instantiate(options).method.build(Dense(classes=CLASSES), partial(SGD, lr=0.1))
    assert isinstance(algorithm, BilevelSVI)
    return algorithm


@pytest.mark.parametrize("name", ["mlc", "mw_net", "mw_net_unnormalised", "warpi"])
def test_kl_weights_and_clean_weight_are_zero_and_features_are_detached(name: str) -> None:
    algorithm = _algorithm(name)
    assert (algorithm.inner_kl_weight, algorithm.outer_kl_weight, algorithm.clean_weight) == (0, 0, 0)
    assert algorithm.detach_features


def test_warpi_rectifies_from_logits_and_label_by_monte_carlo() -> None:
    algorithm = _algorithm("warpi")
    assert algorithm.elbo.num_particles == 3
    output = ClassifierOutput(torch.randn(4, CLASSES), torch.randn(4, 6))
    y = torch.tensor([0, 3, 5, 9])

    def location(output: ClassifierOutput, y: torch.Tensor) -> torch.Tensor:
        return algorithm.guide.posterior(output, y).mean

    original = location(output, y)
    assert torch.equal(location(output._replace(features=output.features + 1), y), original)
    assert ((location(output._replace(logits=output.logits + 1), y) - original).abs().amax(-1) > 0).all()
    assert ((location(output, (y + 1) % CLASSES) - original).abs().amax(-1) > 0).all()
    linear = [m for m in algorithm.guide.modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [100, 100, CLASSES, CLASSES]
    assert linear[0].in_features == 2 * CLASSES


@pytest.mark.parametrize("name", ["mlc", "warpi"])
def test_clean_loss_moves_every_parameter_of_the_guide(name: str) -> None:
    algorithm, noisy, clean = _algorithm(name), batch(30), batch(6)
    before = [p.detach().clone() for p in algorithm.guide.parameters()]
    algorithm.step(noisy, clean)
    assert algorithm.structural_zeros == ()
    moved = [not torch.equal(p.detach(), b) for p, b in zip(algorithm.guide.parameters(), before, strict=True)]
    assert all(moved)

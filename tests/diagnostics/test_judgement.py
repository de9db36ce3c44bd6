"""Tests of judge_posterior on trained runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from converted import converted

from vri_pyro.cli.main import main
from vri_pyro.diagnostics import bounds, collapse, judge_posterior, outputs_of, pareto_k
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
SMALL = ("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[16]", "--threads", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def _runs_are_of_single_precision(_double_precision: None) -> None:
    torch.set_default_dtype(torch.float32)


def trained(folder: Path, config: str) -> Run:
    options = ("--config", str(CONFIGS / f"{config}.yaml"), "--epochs", "1", "--quiet", "true")
    assert main(["fit", *SMALL, *options, "--output", str(folder)]) == 0
    return Run(folder)


def test_judgement_equals_the_separate_measures_and_keeps_the_random_state(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "vri_vector")
    indices = run.split.noisy_indices[:12]
    before = torch.get_rng_state()
    found = judge_posterior(run, indices, num_draws=60, seed=3)
    assert torch.equal(torch.get_rng_state(), before)

    output, y = outputs_of(run, indices)
    torch.manual_seed(3)
    tree = converted(run.model, run.guide, output, y, num_samples=60, chunk_size=20, groups=["sample_stats"])
    np.testing.assert_array_equal(found.k_hat.values, pareto_k(tree).values)
    np.testing.assert_array_equal(found.bounds.elbo.values, bounds(tree).elbo.values)
    assert found.collapse["v"].verdict == collapse(run.model, run.guide, [(output, y)])["v"].verdict
    assert found.points == []


def test_point_mass_guide_is_reported(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "vri_dirac")
    found = judge_posterior(run, run.split.noisy_indices[:5], num_draws=30)
    assert found.points == ["v"]
    assert np.isinf(found.k_hat.values).all()
    assert found.collapse["v"].posterior_std == 0


def test_method_without_a_guide_raises(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "elr")
    with pytest.raises(UserError, match="without model and guide"):
        judge_posterior(run, run.split.noisy_indices[:5])

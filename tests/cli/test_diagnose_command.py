"""``vri-pyro diagnose``: the file for ArviZ, which needs no vri_pyro, and the diagnostics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import arviz as az
import numpy as np
import pytest

from vri_pyro.cli.main import main
from vri_pyro.data import Split
from vri_pyro.runs.run import Run

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
ALONE = """
import sys
for name in ("vri_pyro", "pyro"):
    sys.modules[name] = None  # makes the import fail
import arviz as az
tree = az.from_netcdf(sys.argv[1])
assert "torch" not in sys.modules
print(*sorted(tree.children), tree.posterior.v.dims, tree.posterior.sizes["draw"])
"""


def fit(folder: Path, *options: str) -> Path:
    shared = ["--epochs", "1", "--threads", "1", "--quiet", "true", "--device", "cpu", "--output", str(folder)]
    assert main(["fit", *options, *shared]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("diagnosed") / "run")


def test_file_opens_by_arviz_alone_and_verdicts_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(folder), "--examples", "20", "--draws", "60"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "20 noisy examples, 60 draws",
        "share of examples with k-hat above 0.7",
        "importance-weighted",
        "active units",
    ):
        assert words in printed
    assert "The guide is " in printed
    assert "This assesses each example separately, given the draws of transition;" in printed
    assert "The posterior of v did not collapse" in printed
    done = subprocess.run([sys.executable, "-c", ALONE, folder / "posterior.nc"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "('chain', 'draw', 'data', 'class') 60" in done.stdout
    groups = (
        "posterior",
        "prior",
        "posterior_predictive",
        "prior_predictive",
        "log_likelihood",
        "log_prior",
        "observed_data",
    )
    for group in (*groups, "constant_data", "sample_stats"):
        assert group in done.stdout


def test_file_holds_the_examples_and_their_labels(folder: Path) -> None:
    path = folder / "other.nc"
    assert main(["diagnose", str(folder), "--examples", "12", "--draws", "40", "--output", str(path)]) == 0
    tree, split, run = az.from_netcdf(path), Split.load(folder / "split.npz"), Run(folder)
    positions = tree.posterior.data.values.copy()
    assert len(positions) == 12
    assert set(positions) <= set(split.noisy_indices)
    np.testing.assert_array_equal(tree.observed_data.y, run.examples.y[positions])
    np.testing.assert_array_equal(tree.constant_data.given_label, tree.observed_data.y)
    by_position = dict(zip(split.noisy_indices, split.true_labels, strict=True))  # type: ignore[arg-type]
    assert tree.constant_data.true_label.values.tolist() == [by_position[position] for position in positions]
    assert tree.posterior["class"].values.tolist() == list(run.classes)
    np.testing.assert_allclose(tree.posterior.rectifier, 1 / (1 + np.exp(-tree.posterior.v)), rtol=1e-5)
    assert tree.sample_stats.log_p.dims == ("chain", "draw", "data")


def test_point_mass_guide_gets_no_collapse_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(tmp_path / "run", "--config", str(CONFIGS / "vri_dirac.yaml"))
    assert main(["diagnose", str(run), "--examples", "10", "--draws", "30"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "The guide is a point mass in v, so importance weights cannot assess it." in printed
    assert "The guide is a point mass in v, so there is no spread that could collapse." in printed
    assert "k-hat" not in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--examples", "0"], "examples is 0; expected an integer >= 1"),
        (["--draws", "5"], "the number of draws is 5, too few for Pareto k-hat; use at least 25"),
        (["--output", f"{__file__}/posterior.nc"], "test_diagnose_command.py is not a folder; use another path"),
        (["--output", "."], "cannot write .: it is a folder; use the path of a file"),
        (["--network", "3"], "network is 3 but the run has 1"),
    ],
)
def test_bad_options_are_explained(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(folder), "--examples", "3", "--draws", "25", *options]) == 2
    assert message in capsys.readouterr().err


def test_folder_without_a_run_and_method_without_a_pair_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    peer = fit(tmp_path / "peer", "--method", "vri_pyro.methods.ELR")
    assert main(["diagnose", str(peer)]) == 2
    assert "by a method without model and guide" in capsys.readouterr().err
    without_latents = fit(tmp_path / "plain", "--config", str(CONFIGS / "cross_entropy.yaml"))
    assert main(["diagnose", str(without_latents)]) == 2
    assert f"the model of {without_latents} has no latents, so it has no posterior" in capsys.readouterr().err

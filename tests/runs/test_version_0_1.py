"""What version 0.1 wrote, and what its users wrote, works for one more release, with a warning that names the new name.

The folders in ``version_0_1`` were written by it: a finished run, a run of two networks that was interrupted, and an
interrupted run of GLC. The interrupted ones come with the metrics of the same run without the interruption.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from vri_pyro.cli.main import main
from vri_pyro.cli.old_names import with_current_names
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.deprecations import (
    MODULES,
    DeprecatedNameWarning,
    current_arguments,
    current_class_path,
    current_configuration,
    current_row,
)

FOLDERS = Path(__file__).parent / "version_0_1"
quietly = pytest.mark.filterwarnings("ignore::vri_pyro.utils.deprecations.DeprecatedNameWarning")
shown = pytest.mark.filterwarnings("default::vri_pyro.utils.deprecations.DeprecatedNameWarning")


@pytest.fixture
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a folder that version 0.1 wrote."""
    return Path(shutil.copytree(FOLDERS / request.param, tmp_path / "run"))


@shown
@pytest.mark.parametrize("old", ["unfinished", "glc"], indirect=True)
def test_interrupted_run_resumes_to_the_numbers_that_it_would_have_had(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", str(old / "config.yaml"), "--resume", "true", "--output", str(old)]) == 0
    expected = (old / "metrics_of_whole_run.csv").read_text().replace(",phase,", ",stage,", 1)
    with (old / "metrics.csv").open(newline="") as lines:
        rows = [
            {name: value for name, value in row.items() if name != "adjoint_error"} for row in csv.DictReader(lines)
        ]
    for row, before in zip(rows, csv.DictReader(expected.splitlines()), strict=True):
        assert row.keys() == before.keys()
        for name, value in before.items():
            # The same up to the rounding of single precision: the virtual step has a closed form since.
            assert row[name] == value or float(row[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
    said = capsys.readouterr().err
    assert "vri_pyro.peers." in said
    assert "will be removed in version 0.3" in said


@quietly
@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_configuration_file_is_converted_in_both_forms_of_the_option(old: Path) -> None:
    file = str(old / "config.yaml")
    apart = with_current_names(["fit", "--config", file])
    (joined,) = with_current_names([f"--config={file}"])
    assert joined == f"--config={apart[2]}"
    assert "num_particles" in joined
    assert "vri_pyro.peers" not in joined


@quietly
@pytest.mark.parametrize("old", ["unfinished"], indirect=True)
def test_run_of_other_options_is_still_refused(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", str(old / "config.yaml"), "--resume", "true", "--output", str(old)]
    assert main(["fit", *arguments, "--method.num_particles", "7"]) == 2
    assert "method.num_particles was 1, now it is 7" in capsys.readouterr().err


@quietly
@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_finished_run_is_opened_predicted_with_ranked_and_reported(old: Path) -> None:
    run = Run(old)
    assert run.epochs == run.all_epochs == 4
    assert run.preparatory == ["estimation"]
    probabilities = Predictor(old, which="best").predict(np.zeros((2, 8, 8), dtype=np.uint8))
    assert probabilities.shape == (2, 10)
    assert [row["stage"] for row in RunFolder(old).read_metrics()] == ["estimation", *["training"] * 3]
    assert main(["issues", str(old), "--device", "cpu"]) == 0
    assert main(["report", str(old), "--device", "cpu"]) == 0
    assert "estimation" in (old / "report.html").read_text()


@pytest.mark.parametrize("old", ["finished"], indirect=True)
def test_every_old_name_in_a_configuration_is_replaced_and_named(old: Path) -> None:
    config = yaml.safe_load((old / "config.yaml").read_text())
    with pytest.warns(DeprecatedNameWarning) as caught:
        current = current_configuration(config)
    found = {str(warning.message).partition(";")[0] for warning in caught}
    assert found == {
        "method.particles is now called method.num_particles",
        "vri_pyro.peers.NoisyCrossEntropy is now called vri_pyro.methods.NoisyCrossEntropy",
        "model.strength is now called model.prior_strength",
        "model.share is now called model.transition_weight",
        "model.early_learning is now called model.elr_weight",
        "vri_pyro.schedules.Constant is now called vri_pyro.infer.Constant",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecatedNameWarning)
        assert current_configuration(current) == current


@quietly
def test_options_on_the_command_line_are_replaced() -> None:
    given = ["--method.particles=3", "--method.model.strength", "5", "--warm_up.method.strength", "2", "--epochs", "4"]
    given += ["--schedule", "vri_pyro.schedules.Cosine"]
    assert current_arguments(given) == [
        *("--method.num_particles=3", "--method.model.prior_strength", "5", "--warm_up.method.elr_weight", "2"),
        *("--epochs", "4", "--schedule", "vri_pyro.infer.Cosine"),
    ]


@quietly
@pytest.mark.parametrize(
    ("old_path", "new_path"),
    [
        ("vri_pyro.peers.GLC", "vri_pyro.methods.GLC"),
        ("vri_pyro.peers.early_learning.ELR", "vri_pyro.methods.elr.ELR"),
        ("vri_pyro.hypergradient.SplitVJP", "vri_pyro.infer.hypergradient.SplitVJP"),
        ("vri_pyro.selection.SmallLoss", "vri_pyro.training.selection.SmallLoss"),
        ("vri_pyro.experiment.SplitSizes", "vri_pyro.runs.configuration.SplitSizes"),
        ("vri_pyro.methods.Bilevel", "vri_pyro.methods.Bilevel"),
        ("torch.optim.SGD", "torch.optim.SGD"),
    ],
)
def test_class_paths_are_replaced_by_paths_that_exist(old_path: str, new_path: str) -> None:
    assert current_class_path(old_path) == new_path
    module, _, name = new_path.rpartition(".")
    assert hasattr(import_module(module), name)


def test_column_of_the_stage_is_renamed() -> None:
    assert current_row({"epoch": 0, "phase": "training"}) == {"epoch": 0, "stage": "training"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_old_module_has_a_new_one(module: str) -> None:
    import_module(f"vri_pyro.{MODULES[module]}")


def test_old_imports_find_the_new_classes_and_warn() -> None:
    program = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from vri_pyro.pairs import Guide
    from vri_pyro.peers.early_learning import ELR
    from vri_pyro.labelled import Labelled
    from vri_pyro.trained import TrainedClassifier
import vri_pyro
from vri_pyro.interfaces.base import Guide as NewGuide
from vri_pyro.methods import ELR as NewELR
assert (Guide, ELR, Labelled, TrainedClassifier) == (NewGuide, NewELR, vri_pyro.Batch, vri_pyro.Predictor)
said = [str(one.message) for one in caught if "is now called" in str(one.message)]
assert any("vri_pyro.pairs is now called vri_pyro.interfaces.base" in one for one in said), said
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_guide_without_the_option_starts_at_the_prior_as_before() -> None:
    guide = {"class_path": "vri_pyro.guides.Hierarchical"}
    assert current_configuration({"guide": guide})["guide"]["init_args"] == {"start": "prior"}
    guide["init_args"] = {"start": "predictions", "rate": 0.1}  # type: ignore[assignment]
    assert current_configuration({"guide": guide}) == {"guide": guide}

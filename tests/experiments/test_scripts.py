"""Tests that every script of experiments/ is listed here and runs in its smallest form."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.numbers_page import METHODS
from torchvision.datasets import cifar

import vri_pyro
from vri_pyro import VRIClassifier
from vri_pyro.data import Digits
from vri_pyro.label_issues import LabelIssues

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

SMALLEST = {
    "anatomy.py": [
        *("--output", "anatomy", "--subset", "100", "--configs", "vri", "glc", "--", "--data", "Digits"),
        *("--epochs", "1", "--split.noisy_size", "200", "--batch_size", "50", "--threads", "1", "--quiet", "true"),
    ],
    "untuned.py": [
        *("--data", ".", "--cells", "1", "--datasets", "breast cancer", "--results", "results"),
        *("--only", "logistic regression", "small loss"),
    ],
    "fit.py": ["--epochs", "1", "--output", "run", "--threads", "1"],
    "demo.py": ["--epochs", "1", "--seeds", "0", "--jobs", "1"],
    "posterior_memory.py": [
        *("--draws", "3", "--examples", "20", "--classes", "3", "--chunk", "2", "--output", "memory.json"),
    ],
    "check_purposes.py": [
        *("--seeds", "0", "--data", "digits", "--purposes", "measure", "mend", "--output", "purposes.json"),
    ],
    "overview.py": ["--epochs", "1", "--output", "overview.png"],
    "gallery.py": ["--epochs", "1", "--output", "gallery", "--examples", "10"],
    "own_loop.py": ["3"],
    "prepare.py": ["cifar10"],
    "label_numbers.py": ["--cells", "1", "--only", "two", "--output", "numbers.json"],
    "label_numbers_of_images.py": [
        *("--data", ".", "--cells", "2", "--trusted", "3", "--only", "fashion_mnist", "--output", "numbers.json"),
    ],
    "noise_rate_intervals.py": ["run", "--output", "intervals.json"],
    "own_prior_and_guide.py": ["--epochs", "1", "--output", "run", "--threads", "1", "--report", "false"],
    "loader_speed.py": [
        *("--device", "cpu", "--rounds", "1", "--batches", "1", "--images", "100", "--steps", "0"),
        *("--workers", "0", "--output", "loader.json"),
    ],
    "prediction_sets.py": [
        *("--data", "Gaussian, medium", "--noises", "pairs 40%", "--draws", "1", "--splits", "2"),
        *("--output", "sets.json"),
    ],
    "reweight_regression.py": ["--quick"],
    "select_instructions.py": ["--quick"],
    "reliability.py": [
        *("--quick", "--output", "attempts.json.gz", "--page", "page.md"),
        *("--only", "bug_reports", "exploits", "images", "kills", "malformed", "networks"),
    ],
    "features_on_disk.py": [
        *("--rows", "3000", "--dim", "8", "--batch", "100", "--steps", "5", "--read_batches", "2"),
        *("--folder", ".", "--output", "d.json"),
    ],
    "frozen_features.py": [
        *("--data", "digits.npz", "--features", "features", "--backbone", "SmallCNN", "--results", "results"),
        *("--seeds", "0", "1", "--epochs", "1", "--clean", "5"),
    ],
    "scaling.py": [
        *("--device", "cpu", "--steps", "1", "--only", "processes", "--methods", "vector", "--batch", "4"),
        *("--output", "scaling.json"),
    ],
    "certify_validity.py": [
        *("--repeats", "60", "--widths", "3", "--population", "200", "--checks", "20", "40", "--rates", "0", "0.4"),
        *("--output", "validity.json"),
    ],
    "gpu_check.py": ["--device", "cpu", "--quick", "--only", "tests", "synchronisations", "--output", "check.json"],
    "step_cost.py": [
        *("--device", "cpu", "--networks", "MLP", "--memory", "MLP", "--batch", "2", "--rounds", "1"),
        *("--only", "late, every 4th step", "split by hand, no Pyro", "--output", "cost.json"),
    ],
}
COMPARED = ["VRI", "clean-only", "confident learning", "GLC", "GLC + clean batch"]
# These require images, a finished run, or a process of their own, or are run twice.
NEED_MORE = (
    *("prepare.py", "noise_rate_intervals.py", "reliability.py", "frozen_features.py", "demo.py"),
    "label_numbers_of_images.py",
)

# Studies: further arguments at the tiny scale with two seeds, and texts that the page must contain.
STUDIES = {
    "collapse.py": (
        ["--settings", "whole run", "--methods", "no KL"],
        ["‖σ²‖", "Pull of the meta loss alone on log σ²"],
    ),
    "convergence.py": (["--methods", "scaled"], ["| scaled | ", "Student's t"]),
    "kl_placement.py": (
        ["--settings", "weight 0", "weight 0.1", "--methods", "released", "variational"],
        [
            "released: parameters with a structurally zero hypergradient: model (weight 0, weight 0.1)",
            "variational: parameters with a structurally zero hypergradient: model (weight 0); none (weight 0.1)",
            "released: distinct sets of final parameters from 2 weights, by seed: 1, 1.",
            "variational: distinct sets of final parameters from 2 weights, by seed: 2, 2.",
        ],
    ),
    "label_issues.py": (
        ["--settings", "flip 40%", "--methods", "VRI", "cross-validated cross entropy"],
        ["| AUROC (%), flip 40% | ", "| cross-validated cross entropy | ", "95% interval", "without the neighbours"],
    ),
    "find_label_issues.py": (
        ["--settings", "wine, flip 30%"],
        ["| AUROC (%), 10 trusted labels a class | ", "| wine, flip 30% | ", "ours, both", "at least -0.05"],
    ),
    "full_size.py": (["--settings", "flip 40%", "--methods", "VRI"], ["| VRI | ", "flip 40%"]),
    "heldout_labels.py": (
        [
            *("--settings", "synthetic, uniform 40%, 0% kept out", "synthetic, uniform 40%, 10% kept out"),
            *("--methods", "cross entropy"),
        ],
        ["| cross entropy, 0% → 10% kept out | 2 | ", "10% kept out, cross entropy, seed 1"],
    ),
    "loss_histogram.py": (["--settings", "flip 40%", "--methods", "VRI"], ["AUROC of the rectified loss", "| VRI | "]),
    "posterior.py": (
        ["--methods", "VRI", "VRI, vector", "Dirac twin"],
        [
            "| VRI, vector, trained on the ELBO | ",
            "| VRI, vector, of low rank, trained on the ELBO | ",
            "true values in 90% intervals",
            "| Dirac twin | ",
            "to a point",
        ],
    ),
    "transition.py": (["--settings", "flip 40%", "--methods", "VRI", "GLC"], ["| method's own |", "| no noise | "]),
    "noise_rate.py": (["--settings", "flip 10%", "flip 70%", "--methods", "VRI", "MW-Net"], ["| VRI | ", "Figure 5"]),
    "particles.py": (["--settings", "k = 1", "k = 3"], ["| with KL, seconds per epoch | ", "2.17"]),
    "cheaper_steps.py": (
        [*("--settings", "vector, synthetic, flip 40%", "--methods"), "exact", "late, every 4th step"],
        ["| late, every 4th step | ", "| exact | ", "the cheapest step that loses no accuracy"],
    ),
    "kl_weight.py": (["--settings", "0", "0.1"], ["| paper's equations, inner λ, flip 40% | ", "KL (nats)"]),
    "clean_size.py": (
        ["--settings", "100 a class", "1 a class", "--methods", "VRI", "clean-only"],
        ["| clean-only | ", "91.07"],
    ),
    "guide_width.py": (["--methods", "32", "128-64"], ["| 128-64 | "]),
    "link.py": (["--settings", "flip 40%"], ["| identity | ", "88.17"]),
    "bayesian.py": (["--settings", "flip 40%, 10 clean"], ["| Dirac twin | ", "| flip 40%, 10 clean | ", "89.27"]),
    "guides_and_priors.py": (["--settings", "MixtureOfNormals", "VampPrior"], ["| NormalisingFlow | "]),
    "open_set.py": (
        ["--settings", "open 40%, 10 clean", "open 20%, uniform 20%, 10 clean", "--methods", "VRI", "clean-only"],
        ["64.71"],
    ),
    "no_clean_data.py": (["--settings", "flip 40%"], ["| VRI(Aug) | ", "85.8"]),
    "repair.py": ([], ["synthetic: wrong labels left", "| cleanlab | ", "round 3"]),
    "compare.py": (
        [*("--settings", "synthetic, flip 40%, 10 clean", "--methods"), *COMPARED],
        ["| GLC + clean batch | ", "| VRI − other |"],  # noqa: RUF001
    ),
}
TINY = ["--scale", "tiny", "--seeds", "0", "1", "--results", "results", "--runs", "runs"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_here(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a script in this process, as from the command line."""
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        runpy.run_path(str(EXPERIMENTS / script), run_name="__main__")
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def records_of(study: str) -> list[dict[str, Any]]:
    table = Path("results/records") / f"{study}.jsonl.gz"
    return [json.loads(line) for line in gzip.decompress(table.read_bytes()).splitlines()]


def run(script: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXPERIMENTS / script), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )


def test_intervals_of_finished_runs_are_counted_apart_from_those_with_a_warning(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("fit.py", [*SMALLEST["fit.py"], "--report", "false"], monkeypatch) == 0
    assert run_here("noise_rate_intervals.py", SMALLEST["noise_rate_intervals.py"], monkeypatch) == 0
    (found,) = json.loads((here / "intervals.json").read_text())["runs"]
    assert found["run"] == f"{here.name}/run"
    assert found["covered"] == (found["low"] <= found["true"] <= found["high"])
    assert not found["warned"]  # regressions judge the labels, whatever the classifier has learned in one epoch
    assert "covers in 1 of 1 runs without a warning; 0 runs have a warning" in capsys.readouterr().out
    monkeypatch.setattr(LabelIssues, "problem", "chance")
    assert run_here("noise_rate_intervals.py", SMALLEST["noise_rate_intervals.py"], monkeypatch) == 0
    assert "covers in 0 of 0 runs without a warning; 1 runs have a warning" in capsys.readouterr().out
    assert run_here("noise_rate_intervals.py", ["nowhere"], monkeypatch) == 2
    assert "is not a run folder" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.* has random weights, so its features say little:UserWarning")
def test_runs_on_frozen_features_are_compared_with_logistic_regression(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = Digits().load()
    parts = {name: getattr(digits, name)[:] for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez("digits.npz", **parts)
    assert run_here("frozen_features.py", SMALLEST["frozen_features.py"], monkeypatch) == 0
    page = (here / "results" / "frozen_features.md").read_text()
    for method in ("VRI", "cross entropy", "logistic regression, true labels"):
        assert f"| instance 40% | {method} | " in page
    found = json.loads((here / "results" / "frozen_features.json").read_text())
    assert len(found["records"]) == 2 * 2 * 5
    assert found["examples"] == len(digits.y_train) + len(parts["y_test"])
    assert all(record["whole"] > record.get("epoch", 0) > 0 for record in found["records"] if "epoch" in record)


def test_campaign_survives_a_few_attempts_of_each_kind(tmp_path: Path) -> None:
    done = run("reliability.py", SMALLEST["reliability.py"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unusual networks" in (tmp_path / "page.md").read_text()


def test_every_script_is_listed() -> None:
    assert {path.name for path in EXPERIMENTS.glob("*.py")} == set(SMALLEST) | set(STUDIES)


def test_every_page_of_results_is_linked_and_has_its_figure() -> None:
    results = EXPERIMENTS / "results"
    told = (results / "RESULTS.md").read_text()
    for page in results.glob("*.md"):
        assert page.name == "RESULTS.md" or f"]({page.name})" in told, f"RESULTS.md does not mention {page.name}"
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
            assert (results / picture).exists(), f"{page.name} shows {picture}, which is not there"


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
@pytest.mark.parametrize("script", [name for name in SMALLEST if name not in NEED_MORE])
def test_smallest_form_runs(
    script: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(script, SMALLEST[script], monkeypatch) == 0
    shown = capsys.readouterr().out
    if script == "gallery.py":
        assert {"data.png", "forest.png"} <= {path.name for path in (here / "gallery").iterdir()}
        assert (here / "gallery" / "suspects.png").exists() or "neither Chromium nor Chrome is installed" in shown
    if script == "anatomy.py":
        assert "| figure, last epoch | vri | glc |" in (here / "anatomy" / "comparison.md").read_text()
        for picture in ("comparison.png", "vri/anatomy.png", "glc/anatomy.png"):
            assert (here / "anatomy" / picture).stat().st_size > 5_000
    if script == "features_on_disk.py":
        found = json.loads((here / "d.json").read_text())["found"]
        assert found["fit"]["whole_seconds"] > found["fit"]["start_seconds"] > 0
        assert [path.name for path in here.iterdir()] == ["d.json"]  # the temporary files are gone
    if script == "certify_validity.py":
        rows = json.loads((here / "validity.json").read_text())
        assert len(rows) == (3 + 2) * 2 * 3
        assert "betting, anytime: misses significantly too often in 0 of 10 cells" in shown
    if script == "gpu_check.py":
        sections = json.loads((here / "check.json").read_text())["sections"]
        assert all(found["rows"] and not found["error"] for found in sections.values()), sections
        assert "| float32, fused | " in (here / "check.md").read_text()
    if script == "prediction_sets.py":
        (cell,) = json.loads((here / "sets.json").read_text())["cells"]
        trusted, naive = (cell["methods"][name] for name in ("trusted labels", "noisy labels taken as true"))
        assert trusted["calibrations"] == naive["calibrations"] == 2
        assert trusted["size"] < naive["size"]
        assert "| Gaussian, medium | pairs 40% | " in (here / "sets.md").read_text()
    if script == "step_cost.py":
        rows = json.loads((here / "cost.json").read_text())["networks"]["MLP"]["rows"]
        steps = ["plain SGD", "late, every 4th step", "split by hand, no Pyro"]
        assert [row["step"] for row in rows] == steps
        assert rows[0]["plain_steps"] == 1
        page = (here / "cost.md").read_text()
        assert "| split by hand, no Pyro | " in page
        assert "| late, every 4th step * | " in page


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
@pytest.mark.parametrize("script", STUDIES)
def test_study_runs_and_reports(script: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some, shown = STUDIES[script]
    assert run_here(script, [*TINY, *some], monkeypatch) == 0
    name = f"{Path(script).stem}_tiny"
    page = (here / "results" / f"{name}.md").read_text()
    for words in (*shown, " ± ", f"python experiments/{script} --scale tiny --seeds 0 1", f"({name}.png)"):
        assert words in page
    assert (here / "results" / f"{name}.png").stat().st_size > 5_000
    records = records_of(name)
    assert {record["seed"] for record in records} == {0, 1}
    assert str(here) not in str(records)  # records contain no folders of this machine
    assert [path.name for path in (here / "results").rglob("*.jsonl.gz")] == [f"{name}.jsonl.gz"]
    assert not list((here / "runs").rglob("*.pt"))  # checkpoints are deleted


def test_comparison_trains_methods_with_the_tuned_regimes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regimes = ("SGD 0.1, momentum 0.9, averaged", "SGD 0.1, momentum 0.9, cosine", "SGD 0.2, cosine")
    tuned = [f"cross entropy; {regime}" for regime in regimes]
    place = TINY[5:]
    assert run_here("compare.py", ["--tune", "--scale", "tiny", *place, "--methods", *tuned], monkeypatch) == 0
    chosen = json.loads(Path("results/compare_regimes_tiny.json").read_text())["synthetic"]["cross entropy"]
    curves = {
        regime: [
            record["curves"]["validation_accuracy"][-1]
            for record in records_of("compare_regimes_tiny")
            if record["method"].endswith(f"; {regime}")
        ]
        for regime in regimes
    }
    assert {len(some) for some in curves.values()} == {2}
    assert np.mean(curves[chosen]) == max(map(np.mean, curves.values()))

    setting = "synthetic, flip 40%, 10 clean"
    only = ["--settings", setting, "--methods", "cross entropy", "VRI"]
    assert run_here("compare.py", ["--scale", "tiny", "--seeds", "0", *place, *only], monkeypatch) == 0
    (trained,) = (record["config"] for record in records_of("compare_tiny") if record["method"] == "cross entropy")
    assert f"SGD {trained['optimizer']['init_args']['lr']}" == chosen.split(",")[0]
    assert (trained["ema"] is not None) == chosen.endswith("averaged")


def test_numbers_about_labels_of_images_are_measured(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = Digits().load()
    images = np.kron(np.asarray(digits.x_train[:400]).reshape(400, 8, 8), np.ones((3, 3))).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    part = {"x": images[300:], "y": digits.y_train[300:400]}
    train = {"x_train": images[:300], "y_train": digits.y_train[:300]}
    np.savez("fashion_mnist.npz", **train, x_test=part["x"], y_test=part["y"])
    np.savez("foreign_mnist.npz", x=255 - images)
    monkeypatch.setattr(vri_pyro, "VRIClassifier", partial(VRIClassifier, epochs=1))
    assert run_here("label_numbers_of_images.py", SMALLEST["label_numbers_of_images.py"], monkeypatch) == 0
    first, second = json.loads((here / "numbers.json").read_text())
    assert first["cell"] != second["cell"]
    for record in (first, second):
        assert set(METHODS) <= set(record)
        assert 0 <= record["ours"]["low"] <= record["ours"]["mean"] <= record["ours"]["high"] <= 1
        assert 0 <= record["ours"]["entries_covered"] <= 1
    page = (here / "numbers.md").read_text()
    assert "# The numbers about labels of images" in page
    assert "| ours, fashion_mnist | 2 | " in page


def test_demonstration_shows_its_table_and_is_not_run_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("demo.py", SMALLEST["demo.py"], monkeypatch) == 0
    shown = capsys.readouterr().out
    for row in ("cross entropy", "clean-only", "fine-tuned", "VRI"):
        assert f"│ {row} " in shown
    summaries = {path: path.stat().st_mtime_ns for path in here.rglob("summary.json")}
    assert len(summaries) == 4
    assert run_here("demo.py", SMALLEST["demo.py"], monkeypatch) == 0
    assert summaries == {path: path.stat().st_mtime_ns for path in here.rglob("summary.json")}

    assert run_here("demo.py", ["--epochs", "2", "--seeds", "0", "--jobs", "1"], monkeypatch) != 0
    assert "epochs was 1, is now 2" in capsys.readouterr().err


def test_torchvisions_copy_becomes_an_npz_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = here / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (10, 3072), np.uint8)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / name).write_bytes(pickle.dumps({"data": images, "labels": list(range(10))}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"name {i}" for i in range(10)]}))
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())
    assert run_here("prepare.py", SMALLEST["prepare.py"], monkeypatch) == 0
    with np.load("data/cifar10.npz") as arrays:
        assert arrays["x_train"].shape == (50, 32, 32, 3)
        assert np.array_equal(arrays["x_test"], images.reshape(10, 3, 32, 32).transpose(0, 2, 3, 1))
        assert arrays["classes"][3] == "name 3"

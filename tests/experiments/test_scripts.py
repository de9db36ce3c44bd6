"""Every script of experiments/ runs in its smallest form, and none is forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SHARED_CODE = {"study.py"}

SMALLEST = {
    "fit.py": ["--epochs", "1", "--output", "run", "--threads", "1"],
    "demo.py": ["--epochs", "1", "--seeds", "0"],
    "fashion_mnist.py": [
        *("--data", "tiny.npz", "--epochs", "1", "--noisy-size", "200", "--seeds", "0", "1"),
        *("--results", "results", "--runs", "runs"),
    ],
    "loader_speed.py": [
        *("--device", "cpu", "--rounds", "1", "--batches", "1", "--images", "100", "--steps", "0"),
        *("--workers", "0", "--output", "loader.json"),
    ],
    "step_cost.py": ["--device", "cpu", "--batch", "2", "--rounds", "1", "--only", "SplitJVP", "--output", "cost.json"],
}


@pytest.fixture
def tiny_npz(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(1500) % 10
    images = (20 * labels[:, None, None] + generator.integers(0, 20, (1500, 8, 8))).astype(np.uint8)
    np.savez(tmp_path / "tiny.npz", x_train=images, y_train=labels, x_test=images[:50], y_test=labels[:50])


def run(script: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXPERIMENTS / script), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )


def test_every_script_is_listed() -> None:
    assert {path.name for path in EXPERIMENTS.glob("*.py")} == set(SMALLEST) | SHARED_CODE


@pytest.mark.usefixtures("tiny_npz")
@pytest.mark.parametrize("script", SMALLEST)
def test_smallest_form_runs(script: str, tmp_path: Path) -> None:
    done = run(script, SMALLEST[script], tmp_path)
    assert done.returncode == 0, done.stderr
    if script == "demo.py":
        for row in ("cross entropy", "clean-only", "fine-tuned", "VRI"):
            assert f"│ {row} " in done.stdout
    if script == "fashion_mnist.py":
        report = (tmp_path / "results" / "fashion_mnist.md").read_text()
        assert "| VRI |" in report
        assert "±" in report
        assert (tmp_path / "results" / "fashion_mnist_posterior.png").stat().st_size > 10_000
    if script == "step_cost.py":
        rows = json.loads((tmp_path / "cost.json").read_text())["rows"]
        assert [row["step"] for row in rows] == ["plain SGD", "SplitJVP"]
        assert rows[0]["plain_steps"] == 1


def test_finished_study_is_not_run_again(tmp_path: Path) -> None:
    first = run("demo.py", SMALLEST["demo.py"], tmp_path)
    summaries = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")}
    second = run("demo.py", SMALLEST["demo.py"], tmp_path)
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(summaries) == 4
    assert summaries == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")}

    other = run("demo.py", ["--epochs", "2", "--seeds", "0"], tmp_path)
    assert other.returncode != 0
    assert "epochs was 1, now it is 2" in other.stderr

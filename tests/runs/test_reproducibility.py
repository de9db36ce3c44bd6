"""Runs of one seed are equal, bit for bit, whatever the process, the environment and the working directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from campaign._small_method import SMALL_METHOD
from PIL import Image

from vri_pyro.training.checkpoint import load_checkpoint

CONFIG = (
    SMALL_METHOD
    + """\
data: {class_path: vri_pyro.data.ImageFolder, init_args: {path: DATA, size: 8}}
backbone: {class_path: vri_pyro.backbones.MLP, init_args: {hidden: [16], dropout: 0.2}}
augmentation: vri_pyro.data.Weak
networks: 2
batch_size: 16
epochs: 2
seed: 4
device: cpu
threads: 1
workers: 0
report: false
quiet: true
"""
)
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "4711", "LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
)
# Stops the run after the fourth of its steps, in the first epoch.
STOP = """\
import signal
from vri_pyro.training.trainer import Trainer
step, taken = Trainer._step, []
def stopping(self, *arguments):
    step(self, *arguments)
    taken.append(1)
    if len(taken) == 4:
        signal.raise_signal(signal.SIGINT)
Trainer._step = stopping
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of streamed images and a configuration."""
    folder, generator = tmp_path_factory.mktemp("equal"), np.random.default_rng(0)
    for part, count in (("noisy", 100), ("clean", 24), ("test", 24)):
        for number in range(count):
            file = folder / "photos" / part / ("Istanbul", "izmir", "Ümit")[number % 3] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)
    (folder / "config.yaml").write_text(CONFIG.replace("DATA", str(folder / "photos")))
    return folder


def fit(output: Path, environment: Mapping[str, str], *options: str, directory: Path, before: str = "") -> int:
    """Train in a process of its own and return its exit status."""
    words = ["fit", "--output", str(output), *options]
    code = (
        f"{before}\nimport sys\nfrom vri_pyro.cli.main import main\nif __name__ == '__main__': sys.exit(main({words}))"
    )
    script = output.with_suffix(".py")
    script.write_text(code)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=directory, env={**os.environ, **environment}, timeout=300, check=False)
    return done.returncode


def same(first: Any, second: Any) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def assert_same_runs(first: Path, second: Path) -> None:
    for file in ("split.npz", "fingerprint.npz"):
        with np.load(first / file) as one, np.load(second / file) as other:
            assert one.files == other.files
            assert all(np.array_equal(one[key], other[key], equal_nan=one[key].dtype.kind == "f") for key in one.files)
    for file in ("metrics.csv", "inputs.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    for file in ("last.pt", "best.pt"):
        assert same(*(load_checkpoint(folder / "checkpoints" / file) for folder in (first, second)))


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """An uninterrupted run."""
    options = ("--config", str(place / "config.yaml"))
    assert fit(place / "whole", ENVIRONMENTS[0], *options, directory=place) == 0
    return place / "whole"


def test_environment_working_directory_and_workers_change_nothing(place: Path, whole: Path, tmp_path: Path) -> None:
    options = ("--config", str(place / "config.yaml"), "--workers", "2")
    assert fit(tmp_path / "other", ENVIRONMENTS[1], *options, directory=tmp_path) == 0
    assert_same_runs(whole, tmp_path / "other")


def test_run_resumed_in_another_environment_gives_the_same_numbers(place: Path, whole: Path, tmp_path: Path) -> None:
    options = ("--config", str(place / "config.yaml"))
    assert fit(tmp_path / "stopped", ENVIRONMENTS[0], *options, directory=place, before=STOP) == 130
    resume = ("--config", str(tmp_path / "stopped" / "config.yaml"), "--resume", "true", "--workers", "1")
    assert fit(tmp_path / "stopped", ENVIRONMENTS[1], *resume, directory=tmp_path) == 0
    assert_same_runs(whole, tmp_path / "stopped")

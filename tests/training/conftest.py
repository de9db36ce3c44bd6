"""Fixtures for runs on the digits that take a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyro
import pytest

from vri_pyro.backbones import MLP
from vri_pyro.data import Digits, Flip
from vri_pyro.infer.schedules import Constant
from vri_pyro.runs.configuration import Configuration, SplitSizes
from vri_pyro.runs.experiment import Experiment

from .spies import cross_entropy, sgd


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def experiment(folder: Path) -> Iterator[Callable[..., Experiment]]:
    """Build a tiny experiment on the digits: 200 noisy labels in batches of 50, and 20 clean labels."""

    def build(**changes: Any) -> Experiment:
        options: dict[str, Any] = {
            "method": cross_entropy(),
            "data": Digits(),
            "noise": Flip(0.4),
            "backbone": lambda shape, classes: MLP(shape, classes, hidden=(8,)),
            "optimizer": sgd(0.1),
            "schedule": Constant(),
            "split": SplitSizes(clean_per_class=2, validation_per_class=2, noisy_size=200),
            "epochs": 3,
            "batch_size": 50,
            "device": "cpu",
            "output": folder,
            "quiet": True,
        }
        return Experiment(Configuration(**(options | changes)))

    yield build
    pyro.enable_validation(True)  # a run disables it


@pytest.fixture
def run(experiment: Callable[..., Experiment]) -> Callable[..., dict[str, Any]]:
    """Build a tiny experiment and run it."""
    return lambda identity="seed: 0", **changes: experiment(**changes).run("epochs: 3\n", identity)

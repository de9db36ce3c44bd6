"""Fixtures for tiny runs on the digits, partly shared with the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from training.conftest import experiment, folder, run  # noqa: F401

from vri_pyro.cli.main import main

Train = Callable[..., Path]
CONFIG = Path(__file__).parents[2] / "experiments" / "configs" / "cross_entropy.yaml"


@pytest.fixture(scope="session")
def train() -> Train:
    """A function that trains one epoch of cross entropy on 200 noisy labels and returns the run folder."""

    def trained(output: Path, *options: str) -> Path:
        short = ("--epochs", "1", "--split.noisy_size", "200", "--threads", "1", "--device", "cpu", "--quiet", "true")
        assert main(["fit", "--config", str(CONFIG), *short, "--output", str(output), *options]) == 0
        return output

    return trained

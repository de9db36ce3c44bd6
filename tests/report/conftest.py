"""Runs on the digits for the reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from vri_pyro.cli.main import main

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
SMALL = ("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[16]", "--threads", "1", "--device", "cpu")


def fit(folder: Path, *options: str) -> Path:
    """Train a small network in a run folder and return the folder."""
    assert main(["fit", *SMALL, "--quiet", "true", "--output", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of VRI."""
    return fit(tmp_path_factory.mktemp("pages") / "first & <second>", "--epochs", "12")


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of GLC: two stages, no model and guide, and a learned transition matrix."""
    options = ("--method", "vri_pyro.methods.GLC", "--method.estimation_epochs", "2", "--epochs", "3")
    return fit(tmp_path_factory.mktemp("pages") / "peer", *options)

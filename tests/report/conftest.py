"""Runs on the digits for the reports."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import pytest

from vri_pyro.cli.main import main
from vri_pyro.label_issues import LabelIssues
from vri_pyro.report import SeenRun
from vri_pyro.runs.run import Run

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


def another(seen: SeenRun) -> SeenRun:
    """Copy a run with what has been computed of it; a change of the copy does not change the original."""
    one = copy(seen)
    one.run = copy(seen.run)
    one.run._folder = copy(seen.run._folder)
    return one


@pytest.fixture(scope="module")
def analysed(folder: Path) -> SeenRun:
    """The run of VRI with its labels and its posterior analysed, which takes seconds; not to be changed."""
    seen = SeenRun(Run(folder))
    assert seen.issues is not None
    assert seen.posterior is not None
    return seen


@pytest.fixture
def seen(analysed: SeenRun) -> SeenRun:
    """A copy of the analysed run, which a test may change."""
    return another(analysed)


@pytest.fixture(scope="module")
def seen_peer(peer: Path) -> SeenRun:
    """The run of GLC, with its labels analysed; not to be changed."""
    seen = SeenRun(Run(peer))
    assert seen.issues is not None
    return seen


@pytest.fixture
def ranked(analysed: SeenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands on the run of VRI, or on a copy of its folder, find its labels ranked."""

    def found(*_: object, **__: object) -> LabelIssues:
        return analysed.issues

    monkeypatch.setattr("vri_pyro.report.seen.rank", found)

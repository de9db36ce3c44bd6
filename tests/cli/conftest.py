"""Fixtures that run the command line, in this process or in a process of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyro
import pytest
from campaign._small_method import SMALL_METHOD

from vri_pyro.cli.main import main

from . import in_processes

# Small networks, so that an epoch on the digits takes a few hundredths of a second.
TINY = (
    SMALL_METHOD
    + """\
backbone: {class_path: vri_pyro.backbones.MLP, init_args: {hidden: [16], dropout: 0.2}}
epochs: 1
device: cpu
threads: 1
report: false
output: run
"""
)
FINE_TUNING = """\
fine_tuning:
  epochs: 6
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1.0e-2, momentum: 0.9}}
  method:
    class_path: vri_pyro.methods.SingleLevel
    init_args: {model: vri_pyro.models.CrossEntropy, guide: vri_pyro.guides.NoLatents, pool: clean}
"""


class Result(NamedTuple):
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str


Command = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with ``tiny.yaml``, the configuration of a tiny run."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained_in(folder: Path, *commands: Sequence[str]) -> Path:
    """Train a tiny run in a folder, and do further commands there; return the run's folder."""
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (["fit", "--config", "tiny.yaml", "--quiet", "true"], *commands):
            assert main([*command]) == 0
    return folder / "run"


@pytest.fixture
def vri_pyro(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """A function that runs a command in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def run(*arguments: str) -> Result:
        try:
            status = main([*arguments])
        except SystemExit as leave:  # raised by --help, --version and --print_config
            status = int(leave.code or 0)
        finally:
            pyro.enable_validation(True)  # training switches validation off
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture
def own_process(here: Path) -> Command:
    """A function that runs a command in a process of its own."""

    def run(*arguments: str) -> Result:
        process = in_processes.start(here, arguments)
        process.join(timeout=120)
        assert process.exitcode is not None
        return Result(process.exitcode, (here / "out").read_text(), (here / "err").read_text())

    return run

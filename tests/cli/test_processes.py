"""``torchrun -m vri_pyro.cli fit``: the run of one process, told once, and stopped, killed and resumed as one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import HashStore, TCPStore

from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils import processes
from vri_pyro.utils.processes import ALONE

from . import in_processes
from .conftest import Command
from .test_data_identity import arrays

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
DATA = ("--data", "NpzFile", "--data.path", "data.npz")
# The default method with everything beside it: estimation of T, two networks, an average, mixed batches, mixup passes.
DEFAULT = (
    *("fit", *DATA, "--epochs", "3", "--batch_size", "25", "--networks", "2", "--ema", "0.9", "--device", "cpu"),
    *("--augmentation", "Mixup", "--clean_mixup.every", "1", "--clean_mixup.epochs", "1", "--report", "false"),
)
# An epoch of 20 steps, whose network draws random numbers.
LONG = ("fit", "--config", "tiny.yaml", "--batch_size", "67", "--epochs", "8", "--quiet", "true")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def _free_port() -> str:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return str(opened.getsockname()[1])


def _torchrun(here: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command by torchrun, in 2 processes."""
    command = [*TORCHRUN, "--master-port", _free_port(), "-m", "vri_pyro.cli", *arguments]
    return subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _pair(here: Path, *arguments: str) -> list[BaseProcess]:
    """Start the command in 2 processes, with the environment that torchrun sets."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    return [
        in_processes.start(here, arguments, f"-{rank}", RANK=str(rank), LOCAL_RANK=str(rank), **shared)
        for rank in range(2)
    ]


def _ended(here: Path, pair: list[BaseProcess]) -> tuple[list[int | None], str, str]:
    """Wait for a pair; return its exit statuses, and its joined output and errors."""
    for process in pair:
        process.join(timeout=180)
    out, err = ("".join((here / f"{name}-{rank}").read_text() for rank in range(2)) for name in ("out", "err"))
    return [process.exitcode for process in pair], out, err


def _trained(here: Path) -> None:
    """Wait until a run has completed its first epoch."""
    deadline = time.monotonic() + 120
    while not (here / "run/checkpoints/last.pt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _assert_same(one: Path, other: Path, **tolerance: float) -> None:
    """Compare all metrics and the final classifiers of two runs."""
    rows, others = (RunFolder(run).read_metrics() for run in (one, other))
    assert len(rows) == len(others)
    for row, like in zip(rows, others, strict=True):
        assert row.pop("stage") == like.pop("stage")
        # The check of the adjoint is a rounding error itself.
        names = [name for name in row if name != "adjoint_error"]
        np.testing.assert_allclose([row[n] for n in names], [like[n] for n in names], err_msg=str(names), **tolerance)
    states = [torch.load(run / "checkpoints/last.pt")["state"]["classifier"] for run in (one, other)]
    torch.testing.assert_close(*states, rtol=tolerance.get("rtol", 0), atol=tolerance.get("atol", 0))


def test_two_processes_train_the_run_of_one(here: Path, vri_pyro: Command) -> None:
    np.savez(here / "data.npz", **arrays())
    agent = _torchrun(here, *DEFAULT, "--output", "two")
    shown, errors = agent.communicate(timeout=180)
    assert (agent.returncode, errors) == (0, "")
    assert shown.count("run folder:") == 1
    alone = vri_pyro(*DEFAULT, "--output", "one")
    assert alone.status == 0
    assert shown.replace("/two\n", "/one\n") == alone.stdout
    _assert_same(here / "two", here / "one", rtol=1e-4, atol=1e-5)
    assert json.loads((here / "two/summary.json").read_text())["made_by"]["processes"] == "2"

    for command in ("issues", "report"):
        assert vri_pyro(command, "two").status == 0
    assert (here / "two/label_issues.csv").exists()
    assert (here / "two/report.html").exists()


def test_killed_process_ends_all_with_one_sentence_and_one_process_resumes(here: Path, vri_pyro: Command) -> None:
    agent = _torchrun(here, *LONG)
    _trained(here)
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    shown, errors = agent.communicate(timeout=180)
    assert agent.returncode != 0
    assert shown == ""
    told = [line for line in errors.splitlines() if line.startswith("error:") or "stopped" in line]
    assert len(told) == 1
    assert "another process of this run ended" in told[0]
    assert "--resume true" in told[0]

    before = RunFolder(here / "run").read_metrics()
    assert vri_pyro(*LONG, "--resume", "true").status == 0
    after = RunFolder(here / "run").read_metrics()
    assert len(after) == 8
    assert after[: len(before)] == before


def test_signal_of_torchrun_does_not_hide_that_another_process_is_lost(
    here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: object) -> None:
        monkeypatch.setattr(processes, "_group", processes._Group(ALONE, 0, HashStore()))
        try:
            with processes.loss_explained():
                raise RuntimeError("Connection closed by peer")
        finally:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("vri_pyro.data.Digits.load", lost)
    result = vri_pyro("fit", "--config", "tiny.yaml")
    assert result.status == 1
    assert "another process of this run ended" in result.stderr


@pytest.mark.parametrize(
    ("rank", "environment", "message"),
    [
        (1, {}, "process 2 of 2 did not meet the others at 127.0.0.1:{port} ("),
        (0, {}, "process 1 of 2 did not meet the others at 127.0.0.1:{port} ("),
        (
            1,
            {"MASTER_ADDR": "no.such.host.invalid"},
            "did not meet the others at no.such.host.invalid:{port} (",
        ),
        (0, {"TORCHELASTIC_USE_AGENT_STORE": "True"}, "within 1 s, only 1 of 2 processes came to 127.0.0.1:{port}"),
        (2, {}, "RANK is 2 for WORLD_SIZE 2; expected 0 to 1"),
        (0, {"MASTER_PORT": "abc"}, "MASTER_PORT is 'abc'; expected a number from 0"),
        (0, {"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        (0, {"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'; expected a number from 1"),
    ],
)
def test_process_that_does_not_meet_the_others_says_so(
    rank: int, environment: dict[str, str], message: str, vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_JOINING", 1.0)
    port = _free_port()
    agent = "TORCHELASTIC_USE_AGENT_STORE" in environment
    store = TCPStore("127.0.0.1", int(port), is_master=True, wait_for_workers=False) if agent else None
    told = {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} | environment
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    result = vri_pyro("fit", "--config", "tiny.yaml")
    del store
    assert result.status == 1
    assert message.format(port=port) in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (here / "run").exists()


def test_signal_ends_a_process_that_waits_for_the_others(here: Path) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "RANK": "1"}
    process = in_processes.start(here, ("fit", "--config", "tiny.yaml"), **shared)
    process.join(timeout=8)
    assert process.is_alive()
    process.terminate()
    process.join(timeout=20)
    assert process.exitcode in (143, -signal.SIGTERM)


def test_stopped_pair_resumes_to_the_same_numbers_and_tells_once(here: Path) -> None:
    statuses, _, errors = _ended(here, _pair(here, *LONG, "--output", "undisturbed"))
    assert (statuses, errors) == ([0, 0], "")
    pair = _pair(here, *LONG)
    _trained(here)
    pair[1].terminate()
    statuses, _, errors = _ended(here, pair)
    assert statuses == [143, 143]
    assert errors.count("stopped and saved; resume with") == 1
    assert len(errors.splitlines()) == 1
    statuses, _, errors = _ended(here, _pair(here, *LONG, "--resume", "true"))
    assert (statuses, errors) == ([0, 0], "")
    _assert_same(here / "run", here / "undisturbed")


def test_error_of_all_processes_is_told_once(here: Path) -> None:
    statuses, _, errors = _ended(here, _pair(here, "fit", "--config", "tiny.yaml", "--clean_batch_size", "1"))
    assert statuses == [2, 2]
    assert errors == (
        "error: the clean batches of training have 1 examples for 2 processes; start fewer processes, or use larger "
        "batches\n"
    )


def test_first_process_alone_runs_other_commands(here: Path) -> None:
    statuses, shown, errors = _ended(here, _pair(here, "report", "nowhere"))
    assert (statuses, shown) == ([2, 0], "")
    assert errors.count("nowhere") == 1

"""An interrupted or killed run that is resumed gives the same results as an uninterrupted run, bit for bit."""

from __future__ import annotations

import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.interruption import Interrupted, stop_request

from . import in_processes
from .conftest import FINE_TUNING, TINY, Command

# With batches of 67, an epoch has 20 steps; dropout and two particles draw random numbers in every step.
CONFIG = TINY.replace("epochs: 1\n", "epochs: 24\nbatch_size: 67\n") + FINE_TUNING
EPOCHS = 30


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = _start(folder, resume=False)
    assert _end(process, folder) == (0, "")
    return folder / "run"


def _start(here: Path, resume: bool) -> BaseProcess:
    (here / "config.yaml").write_text(CONFIG)
    options = ("--quiet", "true", "--resume", str(resume).lower())
    return in_processes.start(here, ("fit", "--config", "config.yaml", *options))


def _end(process: BaseProcess, here: Path) -> tuple[int | None, str]:
    """Wait until a process ends; return its exit status and its errors."""
    process.join(timeout=120)
    return process.exitcode, (here / "err").read_text()


def _signal(process: BaseProcess, number: int) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def _finish(here: Path) -> None:
    assert _end(_start(here, resume=True), here)[0] == 0


def _epochs_done(run: Path) -> int:
    metrics = run / "metrics.csv"
    return len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0


def _wait_for_epoch(process: BaseProcess, run: Path, epoch: int) -> None:
    deadline = time.monotonic() + 60
    while _epochs_done(run) < epoch and process.is_alive():
        assert time.monotonic() < deadline, f"epoch {epoch} was not reached"
        time.sleep(0.002)


def _assert_same_end(run: Path, undisturbed: Path) -> None:
    assert (run / "metrics.csv").read_bytes() == (undisturbed / "metrics.csv").read_bytes()
    one, other = (RunFolder(folder).read_summary() for folder in (run, undisturbed))
    assert one | {"made_by": None} == other | {"made_by": None}  # somebody may commit while the tests run
    for name in ("last.pt", "best.pt"):
        _assert_equal(*(torch.load(f / "checkpoints" / name, weights_only=True) for f in (run, undisturbed)))


def _assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _assert_equal(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            _assert_equal(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_killed_several_times_at_random_moments_and_resumed(here: Path, undisturbed: Path) -> None:
    moments = random.Random(0)
    run = here / "run"
    for _ in range(4):
        before = _epochs_done(run)
        process = _start(here, resume=True)
        _wait_for_epoch(process, run, before + moments.randint(1, 3))
        time.sleep(moments.uniform(0, 0.03))  # during the steps, the evaluation or the saving of an epoch
        process.kill()
        assert _end(process, here)[0] == -signal.SIGKILL
        assert before < _epochs_done(run) < EPOCHS

    _finish(here)
    _assert_same_end(run, undisturbed)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux to limit another process")
def test_full_disk_costs_no_more_than_the_steps_since_the_last_checkpoint(here: Path, undisturbed: Path) -> None:
    process = _start(here, resume=False)
    _wait_for_epoch(process, here / "run", 3)
    assert process.pid is not None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, 1000))  # largest size of a file, in bytes
    status, message = _end(process, here)
    assert status == 2
    assert re.fullmatch(r"error: cannot write run/\S+: File too large \(.*\); free disk space, .*\n", message)

    state = torch.load(here / "run" / "checkpoints" / "last.pt", weights_only=True)["state"]
    assert state["progress"]["epoch"] >= 2
    _finish(here)
    _assert_same_end(here / "run", undisturbed)


@pytest.mark.parametrize(("number", "epoch"), [(signal.SIGINT, 3), (signal.SIGTERM, 25)])
def test_run_stopped_in_mid_epoch_is_resumed_by_the_command_in_the_message(
    here: Path, undisturbed: Path, vri_pyro: Command, number: signal.Signals, epoch: int
) -> None:
    process = _start(here, resume=False)
    _wait_for_epoch(process, here / "run", epoch)
    _signal(process, number)
    status, message = _end(process, here)
    assert status == 128 + number
    hint = "stopped and saved; resume with: "
    assert message == f"{hint}vri-pyro fit --config run/config.yaml --resume true\n"
    assert epoch <= _epochs_done(here / "run") < EPOCHS

    named = shlex.split(message.removeprefix(hint))
    assert vri_pyro(*named[1:]).status == 0
    _assert_same_end(here / "run", undisturbed)


def test_run_stopped_in_the_first_epoch_is_resumed(here: Path, undisturbed: Path) -> None:
    process = _start(here, resume=False)
    events = here / "run" / "tensorboard"
    while not events.exists():  # created when the training starts
        time.sleep(0.002)
        assert process.is_alive()
    _signal(process, signal.SIGINT)
    assert _end(process, here)[0] == 130
    assert torch.load(here / "run" / "checkpoints" / "last.pt", weights_only=True)["state"]["progress"]["epoch"] == 0
    _finish(here)
    _assert_same_end(here / "run", undisturbed)


def _interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the run in its first epoch, after ``step`` steps."""

    def display(_: object, epoch: int, done: int) -> None:
        if (epoch, done) == (0, step):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("vri_pyro.utils.progress.ProgressDisplay.step", display)


def test_stopped_convolutional_network_resumes_bit_for_bit(
    vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cnn = ("fit", "--config", "tiny.yaml", "--backbone", "vri_pyro.backbones.SmallCNN", "--epochs", "2")
    assert vri_pyro(*cnn, "--output", "undisturbed").status == 0
    with monkeypatch.context() as patch:
        _interrupt_at(5, patch)
        assert vri_pyro(*cnn).status == 130
    assert vri_pyro(*cnn, "--resume", "true").status == 0
    _assert_same_end(here / "run", here / "undisturbed")


def test_command_quotes_a_folder_with_spaces(vri_pyro: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupt_at(5, monkeypatch)
    result = vri_pyro("fit", "--config", "tiny.yaml", "--output", "my run")
    assert result.status == 130
    assert result.stderr.endswith("resume with: vri-pyro fit --config 'my run/config.yaml' --resume true\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_outside_the_training_leaves_no_traceback_and_no_folder(
    vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("vri_pyro.data.Digits.load", lambda _: signal.raise_signal(number))
    before = signal.getsignal(signal.SIGTERM)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a process of the background
    result = vri_pyro("fit", "--config", "tiny.yaml")
    signal.signal(signal.SIGINT, ignored)
    assert (result.status, result.stderr) == (128 + number, "stopped immediately; files saved earlier are intact\n")
    assert not (here / "run").exists()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_reported_if_the_code_that_it_stops_raises_another_exception(
    vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def load(_: object) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise RecursionError from None

    monkeypatch.setattr("vri_pyro.data.Digits.load", load)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    result = vri_pyro("fit", "--config", "tiny.yaml")
    signal.signal(signal.SIGINT, ignored)
    assert (result.status, result.stderr) == (128 + number, "stopped immediately; files saved earlier are intact\n")


def test_second_signal_while_a_stopped_command_cleans_up_ends_it_at_once(here: Path) -> None:
    (here / "stop.py").write_text(
        "import signal\nfrom vri_pyro.utils.interruption import stops_raise\n"
        "with stops_raise():\n"
        "    try:\n        signal.raise_signal(signal.SIGTERM)\n"
        "    finally:\n        signal.raise_signal(signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "stop.py"], cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "stopped immediately; files saved earlier are intact\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_the_imports_leaves_no_traceback(here: Path, number: signal.Signals) -> None:
    (here / "jsonargparse.py").write_text(f"import signal\nsignal.raise_signal({number:d})\n")  # imported first
    command = [sys.executable, "-m", "vri_pyro.cli", "fit"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + number, "stopped immediately; nothing was written\n")


def test_stop_requested_while_an_epoch_ends_is_not_forgotten(
    vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_mixed", lambda *_: signal.raise_signal(signal.SIGTERM) or {})
        result = vri_pyro("fit", "--config", "tiny.yaml")
    assert result.status == 143
    assert "stopped and saved; resume with: " in result.stderr
    assert not (here / "run" / "summary.json").exists()
    assert vri_pyro("fit", "--config", "tiny.yaml", "--resume", "true").status == 0
    assert (here / "run" / "summary.json").exists()


def test_signal_that_arrives_while_processes_agree_counts_at_their_next_agreement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def largest(value: int) -> int:
        signal.raise_signal(signal.SIGTERM)  # while this process waits for the others, none of which has a request
        return value

    with stop_request() as stop:
        with monkeypatch.context() as patch:
            patch.setattr("vri_pyro.utils.interruption.largest", largest)
            assert not stop.agree()
        assert stop.made
        stop.check()  # the others go on, so this process must not stop alone
        assert stop.agree()
        with pytest.raises(Interrupted) as raised:
            stop.check()
    assert raised.value.status == 143


def test_killed_worker_names_the_remedy(vri_pyro: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")  # as PyTorch words it

    monkeypatch.setattr(Trainer, "_step", killed)
    result = vri_pyro("fit", "--config", "tiny.yaml")
    assert result.status == 1
    assert "error: a worker process that reads images was killed, often for lack of memory; set fewer" in result.stderr
    assert result.stderr.count("\n") == 1


def test_resuming_a_finished_run_prints_its_table_and_changes_nothing(vri_pyro: Command, here: Path) -> None:
    first = vri_pyro("fit", "--config", "tiny.yaml")
    before = {path: path.stat().st_mtime_ns for path in (here / "run").rglob("*")}
    again = vri_pyro("fit", "--config", "run/config.yaml", "--resume", "true")
    assert again.status == 0
    assert first.stdout.endswith(again.stdout)
    assert "test accuracy" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in (here / "run").rglob("*")} == before

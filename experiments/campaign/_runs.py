"""Tiny runs in processes of their own, which may be killed, and what is left of them."""

from __future__ import annotations

import contextlib
import csv
import importlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from campaign._small_method import SMALL_METHOD
from vri_pyro.data import Split, mean_and_std
from vri_pyro.runs.building import build_trainer, load_data
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.runs.run import Run
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.run_folder import RunFolder

# Four steps per epoch, two stages, a moving average, dropout, and two kinds of checkpoint.
CONFIG = (
    SMALL_METHOD
    + """\
backbone: {class_path: vri_pyro.backbones.MLP, init_args: {hidden: [16], dropout: 0.2}}
fine_tuning:
  epochs: 2
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1.0e-2, momentum: 0.9}}
  method:
    class_path: vri_pyro.methods.SingleLevel
    init_args: {model: vri_pyro.models.CrossEntropy, guide: vri_pyro.guides.NoLatents, pool: clean}
split: {noisy_size: 200}
batch_size: 50
epochs: 8
device: cpu
threads: 1
quiet: true
report: false
output: run
"""
)
EXPERIMENTS = Path(__file__).parents[1]
RESUME = ("fit", "--config", "config.yaml", "--resume", "true")
_PRELOADED = (
    "vri_pyro.cli.main",
    *(f"vri_pyro.cli.{name}" for name in ("fit", "sweep", "issues", "relabel", "report", "diagnose", "export")),
    *("vri_pyro.models", "vri_pyro.guides", "vri_pyro.report", "vri_pyro.label_issues", "vri_pyro.diagnostics"),
    *("vri_pyro.runs.export", "torch.utils.tensorboard", "sklearn.datasets", "h5netcdf"),
)


@dataclass(frozen=True)
class Outcome:
    """The end of a command: its exit status, negative for a signal, and what it printed."""

    status: int
    printed: str

    @property
    def sentence(self) -> str:
        """The line that begins with "error:"; empty if there is none or anything else looks like a traceback."""
        lines = [line for line in self.printed.splitlines() if line.startswith("error: ")]
        return lines[0] if len(lines) == 1 and "Traceback" not in self.printed else ""


def preload() -> None:
    """Import what the commands need; the processes of the commands are forked from one that has done so."""
    torch.set_num_threads(1)
    for name in _PRELOADED:
        importlib.import_module(name)
    # The accuracy of the noise rate does not matter here.
    sampler: Any = importlib.import_module("vri_pyro.label_issues.label_sampler")
    sampler.LabelSampler.burn_in = 10
    # Parsing the options and building the run for the first time takes seconds. A backward pass is not possible here,
    # since PyTorch's autograd does not survive a fork.
    parser = configuration_parser()
    configuration = build_configuration(parser, parser.parse_object(yaml.safe_load(CONFIG)))
    arrays, split = load_data(configuration)
    build_trainer(configuration, None, arrays, split, mean_and_std(arrays.x_train), "").state_dict()


def start(folder: Path, arguments: Sequence[str], prepare: Callable[[], None] | None = None) -> BaseProcess:
    """Start a command in ``folder``, in a process that calls ``prepare`` first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["campaign._preloaded"])
    os.environ["PYTHONPATH"] = str(EXPERIMENTS)  # the server that imports the preloaded module does not get sys.path
    process = context.Process(target=_command, args=(str(folder), list(arguments), prepare))
    process.start()
    return process


def finish(folder: Path, process: BaseProcess, seconds: float = 300) -> Outcome:
    """Wait for the end of a command; a process that does not end in time is killed, with the status 124."""
    process.join(seconds)
    late = process.is_alive()
    if late:
        process.kill()
        process.join()
    printed = (folder / "printed").read_text(errors="replace") if (folder / "printed").exists() else ""
    return Outcome(124 if late else process.exitcode or 0, printed)


def command(folder: Path, *arguments: str, prepare: Callable[[], None] | None = None) -> Outcome:
    """Run a command in ``folder``."""
    return finish(folder, start(folder, arguments, prepare))


def new_folder(parent: Path, name: str) -> Path:
    """Create a working directory with the configuration of a tiny run."""
    folder = parent / name
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def _command(folder: str, arguments: list[str], prepare: Callable[[], None] | None) -> None:
    os.chdir(folder)
    descriptor = os.open("printed", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a process of the background
    sys.argv = ["vri-pyro", *arguments]
    from vri_pyro.cli.__main__ import main

    try:
        if prepare is not None:
            prepare()
        status = main()
    except BaseException:
        traceback.print_exc()
        status = 99
    with contextlib.suppress(OSError):
        for flushed in (1, 2):
            os.fsync(flushed)
    os._exit(status)


def damage(folder: Path) -> str:
    """Describe the first file of a run folder that is not whole; empty if there is none."""
    files = RunFolder(folder)
    readers: dict[Path, Callable[[], Any]] = {
        files.config: files.read_config,
        files.inputs: files.read_inputs,
        files.split: lambda: Split.load(files.split),
        files.metrics: files.read_metrics,
        files.summary: files.read_summary,
        files.last: lambda: load_checkpoint(files.last),
        files.best: lambda: load_checkpoint(files.best),
        files.posterior: lambda: h5py.File(files.posterior).close(),
        files.label_issues: lambda: _whole_table(files.label_issues),
        files.report: lambda: _whole_page(files.report),
    }
    for file, read in readers.items():
        if file.exists():
            try:
                read()
            except Exception as error:
                return f"{file.name}: {type(error).__name__}: {error}"
    return ""


def _whole_table(path: Path) -> None:
    text = path.read_text()
    rows = list(csv.reader(text.splitlines()))
    if not text.endswith("\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("the table is cut off")


def _whole_page(path: Path) -> None:
    if not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("the page is cut off")


def partial_files(folder: Path) -> list[str]:
    """Return the temporary files and locks in a folder, which a finished command should not leave."""
    return sorted(path.name for path in folder.rglob(".*") if path.name.endswith((".partial", ".lock")))


def difference(folder: Path, expected: Path) -> str:
    """Describe the first difference of two finished runs, bit for bit; empty if there is none."""
    for name in ("metrics.csv", "inputs.json"):
        if (folder / name).read_bytes() != (expected / name).read_bytes():
            return f"{name} differs"
    splits = [{name: part.tolist() for name, part in np.load(one / "split.npz").items()} for one in (folder, expected)]
    if not equal(*splits):
        return "split.npz differs"
    # "made_by" says whether the working tree has changes.
    summaries = [RunFolder(one).read_summary() | {"made_by": None} for one in (folder, expected)]
    if not equal(*summaries):
        return "summary.json differs"
    for name in ("last.pt", "best.pt"):
        states = [load_checkpoint(one / "checkpoints" / name) for one in (folder, expected)]
        if not equal(*states):
            return f"{name} differs"
    return ""


def equal(one: Any, other: Any) -> bool:
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return repr(one) == repr(other)  # NaN equals itself


def outputs(folder: Path) -> tuple[Any, ...]:
    """Return what a restored run gives: logits, rows, labels and split."""
    run = Run(folder)
    logits = [output.logits for output, _ in run.outputs(run.split.noisy_indices[:50])]
    split = [getattr(run.split, name).tolist() for name in ("noisy_indices", "clean_indices", "given_labels")]
    return logits, run.rows, run.examples.y.tolist(), split, run.classes

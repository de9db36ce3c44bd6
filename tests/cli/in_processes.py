"""Run commands in processes that are forked from one with its imports done, which take seconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

# The last three are imported by the first run of a process: by its optimiser, its data and its logger.
_IMPORTED = [
    *("vri_pyro.cli.fit", "vri_pyro.runs.building", "torch.distributed"),
    *("torch._dynamo", "sklearn.datasets", "torch.utils.tensorboard"),
]


def start(folder: Path, arguments: tuple[str, ...], suffix: str = "", **environment: str) -> BaseProcess:
    """Start a command in ``folder``; its output goes to the files ``out`` and ``err`` there, with a suffix."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    process = context.Process(target=_run, args=(folder, arguments, suffix, environment))
    process.start()
    return process


def _run(folder: Path, arguments: tuple[str, ...], suffix: str, environment: dict[str, str]) -> None:
    from vri_pyro.cli.main import main

    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(folder / f"{name}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    os.environ |= environment
    os.chdir(folder)
    sys.exit(main(arguments))

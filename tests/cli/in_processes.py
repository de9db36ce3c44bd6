"""Run a command as one of two processes, in a process that :mod:`test_processes` starts with its imports done."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def run(rank: int, port: int, folder: Path, arguments: tuple[str, ...]) -> None:
    """Run a command in ``folder`` with the environment that torchrun sets; write to ``out-RANK`` and ``err-RANK``."""
    from vri_pyro.cli.main import main

    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(folder / f"{name}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.chdir(folder)
    sys.exit(main(arguments))

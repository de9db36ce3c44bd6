"""Runs killed at random moments and resumed.

A run is started, killed by SIGKILL at a moment that is uniform over its duration, start-up included, and resumed. The
files are whole after the kill. The resumed run equals the one that was never killed, bit for bit.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from campaign._runs import RESUME, command, damage, difference, finish, new_folder, partial_files, start
from campaign.trial import Trial


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Kill 50 runs."""
    command(new_folder(folder, "first"), "--version")  # starts the server of processes
    whole = new_folder(folder, "whole")
    began = time.monotonic()
    ended = command(whole, *RESUME)
    duration = time.monotonic() - began
    if ended.status:
        raise RuntimeError(ended.printed)
    moments = random.Random(0)
    for number in range(2 if quick else 50):
        here = new_folder(folder, f"killed_{number}")
        share = moments.random()
        process = start(here, RESUME)
        time.sleep(share * duration)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
        status = finish(here, process).status
        found = damage(here / "run") if (here / "run").exists() else ""
        stage = _stage(here / "run")
        resumed = command(here, *RESUME)
        found = found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))
        found = found or ", ".join(partial_files(here))
        group = "killed at a random moment" if status == -signal.SIGKILL else "finished before the kill"
        yield Trial(group, f"{number}: after {share:.0%} of the run, {stage}", not found, found)


def _stage(run: Path) -> str:
    """Say how far a run has come."""
    if not (run / "config.yaml").exists():
        return "before the first file"
    if not (run / "checkpoints" / "last.pt").exists():
        return "before the first checkpoint"
    epochs = len((run / "metrics.csv").read_text().splitlines()) - 1
    return "finished" if (run / "summary.json").exists() else f"epoch {epochs}"

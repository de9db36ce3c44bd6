"""A logger that measures how long the epochs of a run take."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vri_pyro.training.loggers.base import Logger, Row, Rows
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import MAIN

_FILE = "times.json"


class Clock(Logger):
    """Writes the times before the first step and after each epoch to ``times.json`` in the run folder."""

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """Note the time before the first step."""
        self._file, self._stages, self._times = folder.path / _FILE, list[str](), [_now()]

    def log(self, row: Row) -> None:
        """Note the time after an epoch."""
        self._times.append(_now())
        self._stages.append(row["stage"])

    def close(self) -> None:
        """Write the times."""
        self._file.write_text(json.dumps({"times": self._times, "stages": self._stages}))


class Timing(NamedTuple):
    """Times of a run.

    Attributes:
        first_step: when the first step began, in seconds since 1970.
        epoch: mean seconds of an epoch of the main stage, with its evaluation.
        epoch_cpu: the same in process time, which other processes on the machine do not affect.
        epochs: number of epochs over all stages.
    """

    first_step: float
    epoch: float
    epoch_cpu: float
    epochs: int


def timing(run: Path) -> Timing:
    """Read the times of a finished run with :class:`Clock`."""
    found = json.loads((run / _FILE).read_text())
    main = [stage == MAIN for stage in found["stages"]]
    epoch, epoch_cpu = np.diff(found["times"], axis=0)[main].mean(axis=0).tolist()
    return Timing(found["times"][0][0], epoch, epoch_cpu, len(main))


def _now() -> tuple[float, float]:
    return time.time(), time.process_time()

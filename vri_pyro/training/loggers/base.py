"""Base class of loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from vri_pyro.training.run_folder import Row, RunFolder

Rows = Sequence[Row]


class Logger(ABC):
    """Base class of loggers, which receive the metrics of a run, one row per epoch.

    To send metrics to another destination, subclass it and select the class with ``--loggers``.
    """

    def watch(self, trainer: Any) -> None:  # noqa: B027 - optional
        """Optional hook called before :meth:`start`, for loggers that measure the networks themselves.

        A logger must leave the networks, their training modes and the random state as they are.

        Args:
            trainer: the :class:`~vri_pyro.training.trainer.Trainer` of the run. During :meth:`log`, its stages, its
                data and its ``ema.network`` are those at the end of the epoch, and ``state.epoch`` is the number of
                completed epochs.
        """

    @abstractmethod
    def start(self, folder: RunFolder, rows: Rows) -> None:
        """Called before the first epoch, and again when the run is resumed.

        Args:
            folder: the run folder; it already exists.
                :meth:`~vri_pyro.training.run_folder.RunFolder.read_config` returns the configuration of the run.
            rows: rows of the completed epochs; empty for a new run.
        """

    @abstractmethod
    def log(self, row: Row) -> None:
        """Called after each epoch.

        Args:
            row: ``epoch`` (from 0), ``stage`` (its name), and the metrics as numbers by name.
        """

    @abstractmethod
    def close(self) -> None:
        """Called at the end, also after an interruption or an error, if :meth:`start` succeeded."""


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """Yield the numeric metrics of a row, without ``epoch``."""
    for name, value in row.items():
        if name != "epoch" and isinstance(value, float | int):
            yield name, value

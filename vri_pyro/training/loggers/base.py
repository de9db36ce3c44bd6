"""The protocol of a logger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vri_pyro.training.run_folder import RunFolder

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Logger(ABC):
    """Writes the metrics of a run somewhere, one row per epoch.

    Subclass it and name the class with ``--loggers`` to send metrics anywhere else. A run that resumes calls
    :meth:`start` again, with the rows of the epochs that are done.
    """

    @abstractmethod
    def start(self, folder: RunFolder, rows: Rows) -> None:
        """Called before the first epoch, and again when a run resumes.

        Args:
            folder: the run folder, which exists; :meth:`~RunFolder.read_config` returns the configuration of the run.
            rows: the rows of the epochs that are done; empty for a new run.
        """

    @abstractmethod
    def log(self, row: Row) -> None:
        """Called after each epoch.

        Args:
            row: the metrics: ``epoch`` (from 0), ``stage`` (a name), and numbers by name.
        """

    @abstractmethod
    def close(self) -> None:
        """Called at the end, also after an interruption or an error, if :meth:`start` was called."""


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """The numbers of a row, without the epoch, which is their position."""
    for name, value in row.items():
        if name != "epoch" and isinstance(value, float | int):
            yield name, value

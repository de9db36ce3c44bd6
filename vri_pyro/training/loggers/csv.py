"""Logger for ``metrics.csv``."""

from __future__ import annotations

from vri_pyro.training.loggers.base import Logger, Row, Rows
from vri_pyro.training.run_folder import RunFolder


class CSVLogger(Logger):
    """Writes ``metrics.csv``, one row per epoch; every run has this logger."""

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """See :class:`Logger`."""
        self._folder, self._rows = folder, list(rows)

    def log(self, row: Row) -> None:
        """See :class:`Logger`; rewrites the whole file, since a stage may add columns."""
        self._rows.append(row)
        self._folder.write_metrics(self._rows)

    def close(self) -> None:
        """See :class:`Logger`."""

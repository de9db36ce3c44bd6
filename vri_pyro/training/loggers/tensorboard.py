"""Logger for TensorBoard."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from vri_pyro.training.loggers.base import Logger, Row, Rows, scalars
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.files import clear_write_errors


class TensorBoardLogger(Logger):
    """Writes TensorBoard events to the subfolder ``tensorboard`` of the run folder."""

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """See :class:`Logger`."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._folder = folder.tensorboard
        with clear_write_errors(self._folder), _no_host_name():
            self._writer = SummaryWriter(str(self._folder), purge_step=len(rows))

    def log(self, row: Row) -> None:
        """See :class:`Logger`."""
        with clear_write_errors(self._folder):
            for name, value in scalars(row):
                self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()

    def close(self) -> None:
        """See :class:`Logger`."""
        with clear_write_errors(self._folder):
            self._writer.close()


@contextmanager
def _no_host_name() -> Iterator[None]:
    """Keep the name of the machine out of the names of event files, which TensorBoard builds from it."""
    own = socket.gethostname
    socket.gethostname = lambda: "localhost"
    try:
        yield
    finally:
        socket.gethostname = own

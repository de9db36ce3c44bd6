"""Logger for Weights & Biases."""

from __future__ import annotations

import secrets
from typing import Literal

from vri_pyro.training.loggers.base import Logger, Row, Rows, scalars
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError


class WandbLogger(Logger):
    """Sends metrics to Weights & Biases. Needs ``pip install 'vri-pyro[wandb]'``.

    A resumed run continues the same Weights & Biases run, whose id is stored in ``wandb_id.txt`` in the run folder.

    Args:
        project: name of the Weights & Biases project.
        name: display name of the run; the name of the run folder by default.
        mode: "online", or "offline" to store the run in the run folder for a later ``wandb sync``.
    """

    def __init__(
        self, project: str = "vri-pyro", name: str | None = None, mode: Literal["online", "offline"] = "online"
    ) -> None:
        self.project, self.name, self.mode = project, name, mode

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """See :class:`Logger`.

        Raises:
            UserError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise UserError("WandbLogger needs wandb: pip install 'vri-pyro[wandb]'") from error
        identifier = folder.logger_id("wandb", lambda: secrets.token_hex(4))
        self._run = wandb.init(
            project=self.project,
            name=self.name or folder.path.resolve().name,
            mode=self.mode,
            dir=str(folder.path),
            id=identifier,
            resume="allow",
            config=folder.read_config(),
        )

    def log(self, row: Row) -> None:
        """See :class:`Logger`."""
        self._run.log(dict(scalars(row)) | {"stage": row["stage"]}, step=row["epoch"])

    def close(self) -> None:
        """See :class:`Logger`."""
        self._run.finish()

"""The folder that a run leaves behind: which file is what, and how it is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vri_pyro.utils.deprecations import current_row
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import clear_write_errors, write_atomically

_RESTORE = "copy the whole run folder, or train again"
Row = Mapping[str, float | int | str]


class RunFolder:
    """The files of one run.

    Args:
        path: the folder; :meth:`make` makes it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.inputs = self.path / "inputs.json"
        self.split = self.path / "split.npz"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.label_issues = self.path / "label_issues.csv"
        self.report = self.path / "report.html"
        self.posterior = self.path / "posterior.nc"
        self.tensorboard = self.path / "tensorboard"
        self.last = self.path / "checkpoints" / "last.pt"
        self.best = self.path / "checkpoints" / "best.pt"

    def check(self, resume: bool) -> None:
        """Make sure that a run here would not destroy another one.

        Args:
            resume: whether a run that is there already is to be continued rather than an error.

        Raises:
            UserError: when the folder holds a run that ``resume`` does not ask for.
        """
        if self.last.exists() and not resume:
            raise UserError(
                f"{self.path} already holds a run; add --resume true to continue it, or choose another --output"
            )

    def make(self) -> None:
        """Make the folder.

        Raises:
            UserError: when it cannot be made.
        """
        with clear_write_errors(self.path):
            self.last.parent.mkdir(parents=True, exist_ok=True)

    def write_config(self, text: str) -> None:
        """Write ``config.yaml``: everything, resolved."""
        write_atomically(self.config, text.encode())

    def read_config(self) -> dict[str, Any]:
        """The configuration in ``config.yaml``; empty where there is none."""
        return yaml.safe_load(self.config.read_text()) if self.config.is_file() else {}

    def logger_id(self, logger: str, create: Callable[[], str]) -> str:
        """The id that an outside tracking service knows this run by.

        Args:
            logger: name of the service; the id is kept in ``<logger>_id.txt``, so that a resumed run finds it.
            create: returns a new id; called where there is none yet.
        """
        path = self.path / f"{logger}_id.txt"
        if not path.is_file():
            write_atomically(path, create().encode())
        return path.read_text()

    def write_inputs(
        self, shape: Sequence[int], dtype: np.dtype, classes: Sequence[str], mean: np.ndarray, std: np.ndarray
    ) -> None:
        """Write ``inputs.json``: what must be known to use the classifier later."""
        inputs = {
            "shape": list(shape),
            "dtype": str(dtype),
            "classes": list(classes),
            "mean": mean.tolist(),
            "std": std.tolist(),
        }
        write_atomically(self.inputs, (json.dumps(inputs) + "\n").encode())

    def read_inputs(self) -> dict[str, Any]:
        """What ``inputs.json`` says of a run.

        Raises:
            UserError: there is none, so this is not the folder of a run, or it is damaged.
        """
        if not self.inputs.is_file():
            raise UserError(f"{self.path} is no run folder; give the --output of a vri-pyro fit")
        return self._json(self.inputs)

    def write_metrics(self, rows: Sequence[Row]) -> None:
        """Write ``metrics.csv``, one row per epoch; stages may have different columns."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.metrics, text.getvalue().encode())

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.csv``: numbers as numbers, the stage's name as text; what a stage lacks is left out.

        Raises:
            UserError: there is none, or it is damaged.
        """
        if not self.metrics.is_file():
            raise UserError(f"{self.path} has no {self.metrics.name}; {_RESTORE}")
        try:
            with self.metrics.open(newline="") as file:
                return [
                    {name: value if name == "stage" else float(value) for name, value in row.items() if value != ""}
                    for row in map(current_row, csv.DictReader(file, strict=True))
                ]
        except (ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{self.metrics} is damaged ({error}); {_RESTORE}") from error

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``: the run's results and what made them."""
        write_atomically(self.summary, (json.dumps(summary, indent=2) + "\n").encode())

    def read_summary(self) -> dict[str, Any]:
        """The ``summary.json`` of a finished run.

        Raises:
            UserError: it is damaged.
        """
        return self._json(self.summary)

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); {_RESTORE}") from error
        if not isinstance(found, dict):
            raise UserError(f"{path} is damaged (it holds no object); {_RESTORE}")
        return found

"""The run folder: paths, writers and readers of its files."""

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
Row = Mapping[str, Any]


class RunFolder:
    """The files of one run.

    Args:
        path: path of the folder; :meth:`make` creates it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.inputs = self.path / "inputs.json"
        self.split = self.path / "split.npz"
        self.fingerprint = self.path / "fingerprint.npz"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.label_issues = self.path / "label_issues.csv"
        self.report = self.path / "report.html"
        self.posterior = self.path / "posterior.nc"
        self.tensorboard = self.path / "tensorboard"
        self.last = self.path / "checkpoints" / "last.pt"
        self.best = self.path / "checkpoints" / "best.pt"

    def check(self, resume: bool) -> None:
        """Raise if a new run would overwrite an existing one.

        Args:
            resume: whether to continue an existing run.

        Raises:
            UserError: the folder contains a run and ``resume`` is false.
        """
        if self.last.exists() and not resume:
            raise UserError(
                f"{self.path} already contains a run; add --resume true to continue it, or choose another --output"
            )

    def make(self) -> None:
        """Create the folder.

        Raises:
            UserError: the folder cannot be created.
        """
        with clear_write_errors(self.path):
            self.last.parent.mkdir(parents=True, exist_ok=True)

    def write_config(self, text: str) -> None:
        """Write ``config.yaml``: the complete configuration with all defaults resolved."""
        write_atomically(self.config, text.encode())

    def write_new_places(self, text: str) -> None:
        """Write the places of the data and of the run folder to ``config.yaml`` if they are others than before.

        Args:
            text: configuration with which the run is resumed.
        """
        saved, now = self.read_config(), yaml.safe_load(text)
        moved = {name: now[name] for name in ("data", "output") if name in now and now[name] != saved.get(name)}
        if moved:
            self.write_config(yaml.safe_dump(saved | moved, sort_keys=False))

    def read_config(self) -> dict[str, Any]:
        """Read ``config.yaml``; empty if the file does not exist."""
        return yaml.safe_load(self.config.read_text()) if self.config.is_file() else {}

    def logger_id(self, logger: str, create: Callable[[], str]) -> str:
        """Return the id of this run at an external tracking service.

        Args:
            logger: name of the service. The id is stored in ``<logger>_id.txt``, so that a resumed run reuses it.
            create: creates a new id; called if none is stored yet.
        """
        path = self.path / f"{logger}_id.txt"
        if not path.is_file():
            write_atomically(path, create().encode())
        return path.read_text()

    def write_inputs(
        self, shape: Sequence[int], dtype: np.dtype, classes: Sequence[str], mean: np.ndarray, std: np.ndarray
    ) -> None:
        """Write ``inputs.json``: input shape, dtype, class names and standardisation, needed to use the classifier."""
        inputs = {
            "shape": list(shape),
            "dtype": str(dtype),
            "classes": list(classes),
            "mean": mean.tolist(),
            "std": std.tolist(),
        }
        write_atomically(self.inputs, (json.dumps(inputs) + "\n").encode())

    def read_inputs(self) -> dict[str, Any]:
        """Read ``inputs.json``.

        Raises:
            UserError: the file does not exist, so the folder is not a run folder; or the file is damaged.
        """
        if not self.inputs.is_file():
            raise UserError(f"{self.path} is not a run folder; use the --output folder of vri-pyro fit")
        return self._json(self.inputs)

    def write_metrics(self, rows: Sequence[Row]) -> None:
        """Write ``metrics.csv``, one row per epoch; missing values are empty."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.metrics, text.getvalue().encode())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read ``metrics.csv``: one dict per row, with numbers as floats and the stage as text, without empty columns.

        Raises:
            UserError: the file does not exist or is damaged.
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
        """Write ``summary.json``: results of the run and their provenance."""
        write_atomically(self.summary, (json.dumps(summary, indent=2) + "\n").encode())

    def read_summary(self) -> dict[str, Any]:
        """Read ``summary.json`` of a finished run.

        Raises:
            UserError: the file is damaged.
        """
        return self._json(self.summary)

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); {_RESTORE}") from error
        if not isinstance(found, dict):
            raise UserError(f"{path} is damaged (it is not a JSON object); {_RESTORE}")
        return found

"""The run folder: paths, writers and readers of its files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vri_pyro.utils.deprecations import current_row
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, checked_path, clear_write_errors, write_atomically
from vri_pyro.utils.locks import locked
from vri_pyro.utils.yaml_files import read_yaml

_RESTORE = "copy the whole run folder, or train again"
_CHECKSUM = "sha256"
# Required keys of the JSON files, with their types.
_INPUTS = {"shape": list, "dtype": str, "classes": list, "mean": list, "std": list}
_SUMMARY = {"results": dict, "split": dict}
_OPTIONS = {"data", "split", "method", "backbone", "optimizer", "epochs", "loggers", "device", "threads", "duplicates"}
_RESULTS = ("last", "last_10", "chosen", "chosen_epoch")
_SPLIT = ("noisy", "clean", "realised_rate")
Row = Mapping[str, Any]


class RunFolder:
    """The files of one run.

    Damage is noticed when a file is read: ``split.npz`` and the checkpoints are archives with checksums,
    ``inputs.json`` and ``summary.json`` have a checksum of their own, and ``config.yaml``, which users may edit, is
    compared with the copy in the checkpoint. The checkpoint also has the metrics; ``metrics.csv`` and the other files
    are only written, for the user.

    Args:
        path: path of the folder; :meth:`make` creates it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = checked_path("the run folder", path)
        self.config = self.path / "config.yaml"
        self.inputs = self.path / "inputs.json"
        self.split = self.path / "split.npz"
        self.fingerprint = self.path / "fingerprint.npz"
        self.network_choice = self.path / "network_choice.json"
        self.metrics = self.path / "metrics.csv"
        self.summary = self.path / "summary.json"
        self.label_issues = self.path / "label_issues.csv"
        self.checks = self.path / "checks.csv"
        self.checks_scores = self.path / "checks_scores.npz"
        self.certificate = self.path / "certificate.json"
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
            UserError: the folder contains a run and ``resume`` is false, or the results of one without its checkpoint.
        """
        if not self.last.exists() and self.metrics.is_file() and len(self.read_metrics()) > 1:
            raise UserError(
                f"{self.path} has the results of a run, but not its checkpoint {self.last.name}; restore it "
                "from a copy, or choose another --output"
            )
        if self.last.exists() and not resume:
            raise UserError(
                f"{self.path} already contains a run; add --resume true to continue it, or choose another --output"
            )
        if not self.last.exists():
            self.check_config()

    def check_config(self) -> None:
        """Raise if ``config.yaml`` is not one that a run or a sweep wrote, which has all options, but a user's own.

        Raises:
            UserError: the file would be replaced by another one.
        """
        check_replaceable(
            self.config, lambda path: set(read_yaml(path)) >= _OPTIONS, "the complete configuration of a run"
        )

    def make(self) -> None:
        """Create the folder.

        Raises:
            UserError: the folder cannot be created.
        """
        with clear_write_errors(self.path):
            self.last.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process write to the folder; see :func:`~vri_pyro.utils.locks.locked`."""
        with locked(self.path):
            yield

    def check_present(self) -> None:
        """Raise if the folder has disappeared, instead of creating an incomplete one with the next file.

        Raises:
            UserError: ``config.yaml``, the first file of a run, does not exist.
        """
        if not self.config.is_file():
            raise UserError(
                f"{self.path} was deleted or moved while the run was training; if it was moved, resume it in its new "
                "place, otherwise train again"
            )

    def write_config(self, text: str) -> None:
        """Write ``config.yaml``: the complete configuration with all defaults resolved."""
        write_atomically(self.config, text.encode())

    def write_network_choice(self, table: Sequence[Mapping[str, Any]]) -> None:
        """Write ``network_choice.json``: the networks that were compared, and their scores, for the user."""
        write_atomically(self.network_choice, (json.dumps(table, indent=1) + "\n").encode())

    def write_new_places(self, text: str) -> None:
        """Write the places of the data and of the run folder to ``config.yaml`` if they are others than before.

        Args:
            text: configuration with which the run is resumed.
        """
        saved, now = self.read_config(), yaml.safe_load(text)
        moved = {name: now[name] for name in ("data", "output") if name in now and now[name] != saved.get(name)}
        if moved:
            with suppress(UserError):  # a finished run may be read-only; another one fails at the next file
                self.write_config(yaml.safe_dump(saved | moved, sort_keys=False))

    def read_config(self) -> dict[str, Any]:
        """Read ``config.yaml``; empty if the file does not exist."""
        return read_yaml(self.config) if self.config.is_file() else {}

    def logger_id(self, logger: str, create: Callable[[], str]) -> str:
        """Return the id of this run at an external tracking service.

        Args:
            logger: name of the service. The id is stored in ``<logger>_id.txt``, so that a resumed run reuses it.
            create: creates a new id; called if none is stored yet.
        """
        path = self.path / f"{logger}_id.txt"
        if not path.is_file():
            write_atomically(path, create().encode())
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is damaged; delete it to begin a new run at {logger}") from error

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
        self._write_json(self.inputs, inputs)

    def read_inputs(self) -> dict[str, Any]:
        """Read ``inputs.json``.

        Raises:
            UserError: the file does not exist, so the folder is not a run folder; or the file is damaged.
        """
        if not self.inputs.is_file():
            raise UserError(f"{self.path} is not a run folder; use the --output folder of vri-pyro fit")
        found = self._read_json(self.inputs, _INPUTS)
        if wrong := _wrong_input(found):
            raise UserError(f"{self.inputs} is damaged ({wrong}); {_RESTORE}")
        return found

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
        self._write_json(self.summary, summary, indent=2)

    def read_summary(self) -> dict[str, Any]:
        """Read ``summary.json`` of a finished run.

        Raises:
            UserError: the file is damaged.
        """
        found = self._read_json(self.summary, _SUMMARY)
        found["results"].setdefault("measured_on", "test")  # version 0.1 always had a test set
        for part, names in (("results", _RESULTS), ("split", _SPLIT)):
            for name in names:
                if not isinstance(found[part].get(name, ""), int | float | None):
                    raise UserError(f"{self.summary} is damaged ({part}.{name} is not a number); {_RESTORE}")
        return found

    def _write_json(self, path: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
        """Write a JSON file with a checksum of its content."""
        text = json.dumps({**content, _CHECKSUM: _checksum(content)}, indent=indent)
        write_atomically(path, (text + "\n").encode())

    def _read_json(self, path: Path, required: Mapping[str, type]) -> dict[str, Any]:
        """Read a JSON file and compare it with its checksum; files of version 0.1 have none."""
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, OSError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({error}); {_RESTORE}") from error
        if not isinstance(found, dict):
            raise UserError(f"{path} is damaged (it is not a JSON object); {_RESTORE}")
        if found.pop(_CHECKSUM, None) not in (None, _checksum(found)):
            raise UserError(f"{path} is damaged (it does not match its checksum); {_RESTORE}")
        for name, kind in required.items():
            if not isinstance(found.get(name), kind):
                raise UserError(f"{path} is damaged (it has no valid {name}); {_RESTORE}")
        return found


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _wrong_input(inputs: Mapping[str, Any]) -> str | None:
    """Describe the first value of ``inputs.json`` that cannot be right; None if there is none."""
    shape, classes = inputs["shape"], inputs["classes"]
    if len(shape) not in (1, 3) or not all(type(size) is int and size > 0 for size in shape):
        return f"shape is {shape}"
    if not classes or not all(isinstance(name, str) for name in classes):
        return "classes is not a list of names"
    try:
        np.dtype(inputs["dtype"])
    except (TypeError, ValueError, SyntaxError):
        return f"dtype is {inputs['dtype']!r}"
    for name in ("mean", "std"):
        if len(inputs[name]) != shape[0] or not all(isinstance(value, int | float) for value in inputs[name]):
            return f"{name} is not a list of {shape[0]} numbers"
    return None

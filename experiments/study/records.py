"""What is kept of the runs: a JSON file each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.runs import Run, first_difference, without_folders
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

Record = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The JSON files of a study.

    Attributes:
        folder: holds ``<setting>/<method>/seed<k>.json``.
    """

    folder: Path

    def file(self, run: Run) -> Path:
        """The run's file."""
        return self.folder / run.place.with_suffix(".json")

    def read(self, run: Run) -> Record | None:
        """What is kept of the run; None where it was not done.

        Raises:
            UserError: what is there is of other options, or no record.
        """
        file = self.file(run)
        if not file.exists():
            return None
        try:
            record = json.loads(file.read_bytes())
            was = record["options"]
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{file} is damaged or no record of a run; delete it and start the study again") from error
        if (difference := first_difference(was, json.loads(json.dumps(run.given())))) is not None:
            raise UserError(
                f"{file} is of a run with other options ({difference}); delete it, or choose another --results"
            )
        return record

    def write(self, run: Run, record: Record) -> None:
        """Keep a record, whole or not at all; of files, the names alone."""
        file = self.file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        head = {"setting": run.setting, "method": run.method, "seed": run.seed, "options": run.given()}
        write_atomically(file, (json.dumps(head | without_folders(record), indent=1) + "\n").encode())

    def collect(self, runs: Iterable[Run]) -> Records:
        """The records of those runs that are done, in the order of ``runs``."""
        return Records([record for run in runs if (record := self.read(run)) is not None])


class Records:
    """Records of a study, by method, setting and seed.

    Args:
        records: in the order in which methods, settings and seeds are to be shown.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {(record["method"], record["setting"], record["seed"]): record for record in records}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    @property
    def methods(self) -> list[str]:
        """The methods that were run, each once."""
        return list(dict.fromkeys(method for method, _, _ in self._records))

    @property
    def settings(self) -> list[str]:
        """The settings that were run, each once."""
        return list(dict.fromkeys(setting for _, setting, _ in self._records))

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run, ascending."""
        return sorted({seed for _, _, seed in self._records})

    def of(self, method: str, setting: str) -> dict[int, Record]:
        """A cell's records by seed."""
        return {seed: record for (m, s, seed), record in self._records.items() if (m, s) == (method, setting)}

    def accuracies(self, method: str, setting: str, which: str = "last") -> dict[int, float]:
        """A cell's test accuracies in percent by seed; ``which`` is last, last_10 or chosen."""
        return {seed: record["results"][which] for seed, record in self.of(method, setting).items()}

    def curves(self, method: str, setting: str, metric: str) -> np.ndarray:
        """A metric over the epochs, float [seeds, epochs], as long as the shortest run; not a number where missing."""
        found = [record["curves"].get(metric, []) for record in self.of(method, setting).values()]
        length = min(map(len, found), default=0)
        return np.array([curve[:length] for curve in found], dtype=float).reshape(len(found), length)

"""Records of a study's runs, stored in one compressed table."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.runs import StudyRun, first_difference, without_folders
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import clear_write_errors, write_atomically

Record = dict[str, Any]
Key = tuple[str, str, int]  # setting, method, seed
_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error, ValueError, LookupError, TypeError)


@dataclass(frozen=True)
class Store:
    """Table of a study: gzipped JSON lines, one record per line, sorted by setting, method and seed.

    To add a record, the table is locked, read, extended and replaced atomically. Several processes and several studies
    can therefore write to the same table, and a killed process leaves either the old or the new table. The bytes of the
    table depend only on its records, not on the order in which they were added.

    Attributes:
        file: path of the table, ``<study>.jsonl.gz``; it is created with the first record.
    """

    file: Path

    def read(self, run: StudyRun) -> Record | None:
        """Return the run's record, or None if there is none.

        Raises:
            UserError: if the record has different options, or the table is damaged.
        """
        return next(iter(self.collect([run])), None)

    def collect(self, runs: Iterable[StudyRun]) -> Records:
        """Return the records of the finished runs, in the order of ``runs``; raises as :meth:`read`."""
        table = self._table()
        return Records([self._checked(run, table[_key(run)]) for run in runs if _key(run) in table])

    def missing(self, runs: Iterable[StudyRun]) -> list[StudyRun]:
        """Return the runs that have no record; raises as :meth:`read`."""
        runs = list(runs)
        done = {(record["setting"], record["method"], record["seed"]) for record in self.collect(runs)}
        return [run for run in runs if _key(run) not in done]

    def write(self, run: StudyRun, record: Record) -> None:
        """Add or replace the run's record; absolute paths in it are reduced to file names.

        Raises:
            UserError: if the table cannot be written or is damaged; it is left unchanged.
        """
        head = {"setting": run.setting, "method": run.method, "seed": run.seed, "options": run.given()}
        with self._changing() as table:
            table[_key(run)] = head | without_folders(record)

    def forget(self, runs: Iterable[StudyRun]) -> int:
        """Delete the records of the runs, whatever their options.

        Returns:
            The number of deleted records.

        Raises:
            UserError: as for :meth:`write`.
        """
        if not self.file.exists():
            return 0
        with self._changing() as table:
            return len([table.pop(_key(run)) for run in runs if _key(run) in table])

    def _checked(self, run: StudyRun, record: Record) -> Record:
        difference = first_difference(record["options"], json.loads(json.dumps(run.given())))
        if difference is not None:
            raise UserError(
                f"{self.file}: {run.name} has a record with different options ({difference}); delete the record with "
                "the study's --forget, delete the whole table, or set --results to another folder"
            )
        return record

    def _table(self) -> dict[Key, Record]:
        if not self.file.exists():
            return {}
        content = self.file.read_bytes()
        try:
            return _unpacked(content)
        except _DAMAGE as error:
            raise UserError(
                f"{self.file} is damaged or not a table of records ({error}); restore a copy of it, or delete it and "
                "restart the study, which then repeats all of its runs"
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[dict[Key, Record]]:
        """Lock the table and yield it for changes; it is written when the block ends without an error."""
        with _locked(self.file):
            table = self._table()
            yield table
            write_atomically(self.file, _packed(table))


def _key(run: StudyRun) -> Key:
    return run.setting, run.method, run.seed


def _packed(table: dict[Key, Record]) -> bytes:
    lines = [json.dumps(table[key], separators=(",", ":")) + "\n" for key in sorted(table)]
    buffer = io.BytesIO()
    # The header has no time and no file name. gzip.compress would store the operating system in it.
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as file:
        file.write("".join(lines).encode())
    return buffer.getvalue()


def _unpacked(content: bytes) -> dict[Key, Record]:
    if not content:
        raise EOFError("the file is empty")
    records = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    if not all(isinstance(record["options"], dict) for record in records):
        raise TypeError("a record's options are not a mapping")
    return {(record["setting"], record["method"], record["seed"]): record for record in records}


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``file``; the operating system releases the lock of a process that dies."""
    with clear_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f".{file.name}.lock").open("w")
    with lock:
        with clear_write_errors(file):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Records:
    """Records of a study by method, setting and seed.

    Args:
        records: the records; methods and settings are shown in their order.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {(record["method"], record["setting"], record["seed"]): record for record in records}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    @property
    def methods(self) -> list[str]:
        """Methods with a record, each once."""
        return list(dict.fromkeys(method for method, _, _ in self._records))

    @property
    def settings(self) -> list[str]:
        """Settings with a record, each once."""
        return list(dict.fromkeys(setting for _, setting, _ in self._records))

    @property
    def seeds(self) -> list[int]:
        """Seeds with a record, ascending."""
        return sorted({seed for _, _, seed in self._records})

    def of(self, method: str, setting: str) -> dict[int, Record]:
        """Return the records of a cell by seed."""
        return {seed: record for (m, s, seed), record in self._records.items() if (m, s) == (method, setting)}

    def accuracies(self, method: str, setting: str, which: str = "last") -> dict[int, float]:
        """Return the test accuracies of a cell in percent by seed.

        Args:
            method, setting: the cell.
            which: ``last``, ``last_10`` or ``chosen``.
        """
        return {seed: record["results"][which] for seed, record in self.of(method, setting).items()}

    def curves(self, method: str, setting: str, metric: str) -> np.ndarray:
        """Return a metric over the epochs, float [seeds, epochs], cut to the shortest run; NaN for missing values."""
        found = [record["curves"].get(metric, []) for record in self.of(method, setting).values()]
        length = min(map(len, found), default=0)
        return np.array([curve[:length] for curve in found], dtype=float).reshape(len(found), length)

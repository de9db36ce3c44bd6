"""The records of a study's runs, kept in one compressed table."""

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
    """A study's table: gzipped lines of JSON, one record a line, sorted by setting, method and seed.

    A record is added under a lock: the table is read, extended, and replaced as a whole. So several processes, and
    several studies, can add to one table, and a process that is killed leaves the old table or the new one. The bytes
    of the table depend on its records alone, not on the order in which they were added.

    Attributes:
        file: the table, ``<study>.jsonl.gz``; it is made with the first record.
    """

    file: Path

    def read(self, run: StudyRun) -> Record | None:
        """The run's record; None where it was not done.

        Raises:
            UserError: the run was done with other options, or the table is damaged.
        """
        return next(iter(self.collect([run])), None)

    def collect(self, runs: Iterable[StudyRun]) -> Records:
        """The records of those runs that are done, in the order of ``runs``; raises as :meth:`read`."""
        table = self._table()
        return Records([self._checked(run, table[_key(run)]) for run in runs if _key(run) in table])

    def missing(self, runs: Iterable[StudyRun]) -> list[StudyRun]:
        """Those runs that are not done yet; raises as :meth:`read`."""
        runs = list(runs)
        done = {(record["setting"], record["method"], record["seed"]) for record in self.collect(runs)}
        return [run for run in runs if _key(run) not in done]

    def write(self, run: StudyRun, record: Record) -> None:
        """Add or replace the run's record; of files, it keeps the names alone.

        Raises:
            UserError: the table cannot be written, or is damaged; it is left as it was.
        """
        head = {"setting": run.setting, "method": run.method, "seed": run.seed, "options": run.given()}
        with self._changing() as table:
            table[_key(run)] = head | without_folders(record)

    def forget(self, runs: Iterable[StudyRun]) -> int:
        """Delete the records of those runs, whatever their options; returns how many there were.

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
                f"{self.file}: {run.name} was done with other options ({difference}); delete its record with the "
                "study's --forget, delete the whole table, or choose another --results"
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
                f"{self.file} is damaged or no table of records ({error}); restore a copy of it, or delete it and "
                "start the study again, which then does all of its runs again"
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[dict[Key, Record]]:
        """The table, to be changed; it is written when the block ends without an error."""
        with _locked(self.file):
            table = self._table()
            yield table
            write_atomically(self.file, _packed(table))


def _key(run: StudyRun) -> Key:
    return run.setting, run.method, run.seed


def _packed(table: dict[Key, Record]) -> bytes:
    lines = [json.dumps(table[key], separators=(",", ":")) + "\n" for key in sorted(table)]
    buffer = io.BytesIO()
    # With neither time nor file name in the header; gzip.compress would let zlib name the operating system there.
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as file:
        file.write("".join(lines).encode())
    return buffer.getvalue()


def _unpacked(content: bytes) -> dict[Key, Record]:
    if not content:
        raise EOFError("the file is empty")
    records = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    if not all(isinstance(record["options"], dict) for record in records):
        raise TypeError("a record's options are no mapping")
    return {(record["setting"], record["method"], record["seed"]): record for record in records}


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait until no other process changes ``file``; the lock of a process that dies is freed by the system."""
    with clear_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f".{file.name}.lock").open("w")
    with lock:
        with clear_write_errors(file):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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

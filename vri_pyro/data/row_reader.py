"""Reading of single rows of arrays on disk."""

from __future__ import annotations

import mmap
import os
import weakref
from contextlib import suppress
from typing import Any

import numpy as np

from vri_pyro.utils.errors import UserError


class RowReader:
    """Reads rows of an array [n, D], from its file if it is mapped from one.

    The rows are read by ``pread``: unlike pages of a mapping, they do not count as memory of the process, a row brings
    no neighbours along, and a file that has become shorter is an error and not the end of the process.

    Args:
        array: the array; of ``numpy.load(path, mmap_mode="r")`` if it is on disk.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self._file: int | None = None
        # A part of a mapped array keeps the offset of the whole, so only the whole is read from its file.
        whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.flags.c_contiguous
        mapped: Any = array if whole and array.mode == "r" and hasattr(os, "preadv") else None  # type: ignore[attr-defined]
        self._path = None if mapped is None else str(mapped.filename)

    def __len__(self) -> int:
        """The number of rows n."""
        return len(self._array)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the file: NumPy copies a mapped array into memory."""
        return vars(self) | {"_file": None, "_path": None}

    def read(self, rows: np.ndarray, into: np.ndarray) -> None:
        """Read the rows at ascending positions, int64 [m], ``into`` an array [m, D] of the same dtype.

        Raises:
            UserError: the file is shorter than it was.
        """
        if self._path is None:
            into[:] = self._array[rows]
        elif rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            self._read(self._start(rows[0]), into)
        else:
            starts = [self._start(row) for row in rows.tolist()]
            self._request(starts)
            for start, row in zip(starts, into, strict=True):
                self._read(start, row)

    def _start(self, row: int) -> int:
        array: Any = self._array
        return array.offset + int(row) * array.strides[0]

    def _request(self, starts: list[int]) -> None:
        """Ask for all rows at once, so that the disk does not read them one after the other."""
        with suppress(OSError, AttributeError):  # advice only
            for start in starts:
                os.posix_fadvise(self._opened(), start, self._array.strides[0], os.POSIX_FADV_WILLNEED)

    def _read(self, start: int, into: np.ndarray) -> None:
        left = memoryview(into).cast("B")
        while len(left):
            found = os.preadv(self._opened(), [left], start)
            if not found:
                raise UserError(f"{self._path} is shorter than its header says; write it again")
            left, start = left[found:], start + found

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path or "", os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
        return self._file

"""Vectors in files on disk, which are read in place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from vri_pyro.utils.errors import UserError


class StoredVectors:
    """Vectors that stay on disk, used in place of an array of vectors [N, D].

    Indexing with a slice or an array of positions reads these rows, as float32. Nothing else is read, so that a set may
    be larger than the memory.

    Args:
        shards: the rows in order, floating arrays [n, D], usually of ``numpy.load(path, mmap_mode="r")``; at least one.
        positions: positions of the rows that belong to the set, int64 [N], in its order; None for all.

    Attributes:
        shape: (N, D).
        dtype: float32, the dtype of the rows as they are read.
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, shards: Sequence[np.ndarray], positions: np.ndarray | None = None) -> None:
        widths = {shard.shape[1] if shard.ndim == 2 else None for shard in shards}
        if len(widths) != 1 or None in widths:
            shapes = ", ".join(str(list(shard.shape)) for shard in shards[:3])
            raise UserError(f"The stored vectors have the shapes {shapes or 'none'}; expected [n, D] with the same D.")
        self._shards, self._positions = list(shards), positions
        self._ends = np.array(list(accumulate(map(len, shards))))
        count = int(self._ends[-1]) if positions is None else len(positions)
        if count < 1:
            raise UserError("There are no stored vectors; expected at least one.")
        self.shape = (count, shards[0].shape[1])

    def __len__(self) -> int:
        """The number of vectors N."""
        return self.shape[0]

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Read the vectors at a slice or an array of positions, float32 [n, D].

        Rows are read in the order in which they lie on disk.
        """
        rows = np.arange(*which.indices(len(self))) if isinstance(which, slice) else np.asarray(which)
        rows = rows if self._positions is None else self._positions[rows]
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        found = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        starts = np.searchsorted(ascending, [0, *self._ends])
        for shard, end, first, last in zip(self._shards, self._ends, starts, starts[1:], strict=False):
            if first < last:
                found[order[first:last]] = _rows(shard, ascending[first:last] - (end - len(shard)))
        return found

    def part(self, positions: np.ndarray) -> StoredVectors:
        """Return the vectors at the given positions, int64 [n], as a set of its own; nothing is read."""
        return StoredVectors(self._shards, positions if self._positions is None else self._positions[positions])


def _rows(shard: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return rows of a shard; without a copy if they are consecutive."""
    first, last = int(ascending[0]), int(ascending[-1])
    return shard[first : last + 1] if last - first == len(ascending) - 1 else shard[ascending]

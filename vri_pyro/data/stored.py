"""Vectors in files on disk, which are read in place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch

from vri_pyro.data.row_reader import RowReader
from vri_pyro.utils.errors import UserError


class StoredVectors:
    """Vectors that stay on disk, used in place of an array of vectors [N, D].

    Indexing with a slice or an array of positions reads these rows, as float32. Nothing else is read, so that a set may
    be larger than the memory.

    Args:
        shards: the rows in order, arrays [n, D] of the same floating dtype, usually of
            ``numpy.load(path, mmap_mode="r")``; at least one.
        positions: positions of the rows that belong to the set, int64 [N], in its order; None for all.

    Attributes:
        shape: (N, D).
        dtype: float32, the dtype of the rows as they are read.
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, shards: Sequence[np.ndarray], positions: np.ndarray | None = None) -> None:
        kinds = {(shard.dtype, shard.shape[1:]) for shard in shards}
        if len(kinds) != 1 or any(shard.ndim != 2 or shard.dtype.kind != "f" for shard in shards):
            found = ", ".join(f"{shard.dtype} {list(shard.shape)}" for shard in shards[:3])
            raise UserError(f"The stored vectors are {found or 'none'}; expected floats [n, D], all of the same D.")
        self._shards, self._positions = list(shards), positions
        self._readers = list(map(RowReader, shards))
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
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"positions {rows.min()} to {rows.max()} of {len(self)} stored vectors")
        rows = rows if self._positions is None else self._positions[rows]
        if (rows[1:] >= rows[:-1]).all():
            found = self._read(rows)
        else:
            order = np.argsort(rows, kind="stable")
            found = np.empty((len(rows), self.shape[1]), dtype=self._shards[0].dtype)
            found[order] = self._read(rows[order])
        return torch.from_numpy(found).float().numpy()  # ten times as fast as astype

    def part(self, positions: np.ndarray) -> StoredVectors:
        """Return the vectors at the given positions, int64 [n], as a set of its own; nothing is read."""
        return StoredVectors(self._shards, positions if self._positions is None else self._positions[positions])

    def _read(self, ascending: np.ndarray) -> np.ndarray:
        """Read rows at ascending positions of the shards together."""
        found = np.empty((len(ascending), self.shape[1]), dtype=self._shards[0].dtype)
        starts = np.searchsorted(ascending, [0, *self._ends])
        pieces = [
            (shard, slice(first, last), ascending[first:last] - (end - len(shard)))
            for shard, end, first, last in zip(self._readers, self._ends, starts, starts[1:], strict=False)
            if first < last
        ]
        for shard, place, rows in pieces:
            shard.read(rows, found[place])
        return found

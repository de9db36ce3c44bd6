"""Seeded random numbers that are reproducible across NumPy versions.

All draws use ``Generator.random``. NumPy guarantees a stable bit stream for PCG64, but not a stable implementation of
``choice``, ``shuffle`` and similar methods.
"""

from __future__ import annotations

import zlib
from typing import Any, cast

import numpy as np

from vri_pyro.utils.numbers import check_integer


def generator_for(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a random generator that is determined by a seed and a purpose.

    Generators with different purposes are independent, so additional draws from one do not affect another.

    Args:
        seed: the run's seed, at least 0.
        purpose: the use of the numbers, such as ``"noise"`` or ``"noisy batches", epoch``; integers are at least 0.

    Raises:
        UserError: the seed is negative or no integer.
    """
    check_integer("seed", seed, 0, most=None)
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))


def rows_of(generator: np.random.Generator, rows: slice, total: int) -> np.random.Generator:
    """Return a generator that draws for some rows of a batch what ``generator`` draws for the whole batch.

    Args:
        generator: the generator of the whole batch.
        rows: the rows.
        total: number of rows of the whole batch.

    Returns:
        ``generator`` itself for all rows; otherwise a generator whose ``random(n)`` and ``random((n, ...))``, for n
        rows, return the values of the rows. It has no other methods.
    """
    return generator if rows.stop - rows.start == total else cast(np.random.Generator, _Rows(generator, rows, total))


class _Rows:
    def __init__(self, generator: np.random.Generator, rows: slice, total: int) -> None:
        self._generator, self._rows, self._total = generator, rows, total

    def random(self, size: int | tuple[int, ...] | None = None) -> Any:
        first, *rest = (size,) if isinstance(size, int) else size or (None,)
        if first != self._rows.stop - self._rows.start:
            return self._generator.random(size)
        return self._generator.random((self._total, *rest))[self._rows]


def permutation(generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw a random permutation of 0..n-1, int64 [n]."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64)


def categorical(generator: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Draw one outcome from the categorical distribution of each row, by inversion.

    Args:
        generator: the random generator; one double is drawn per row.
        probabilities: [N, K], each row non-negative with a positive sum; rows are normalised.

    Returns:
        outcomes, int64 [N]; an outcome of probability zero is never drawn.
    """
    cumulative = np.cumsum(probabilities, axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    return (generator.random(len(cumulative))[:, None] >= cumulative).sum(axis=1, dtype=np.int64)


def beta(generator: np.random.Generator, a: float, b: float, count: int) -> np.ndarray:
    """Draw from the beta distribution by inversion, float64 [count].

    Args:
        generator: the random generator; one double is used per draw.
        a, b: the distribution's parameters, above 0.
        count: number of draws.
    """
    from scipy.special import betaincinv  # slow to import, and rarely needed

    return betaincinv(a, b, generator.random(count))

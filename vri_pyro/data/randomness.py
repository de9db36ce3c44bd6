"""Seeded random numbers that stay the same over NumPy's versions.

Everything is derived from ``Generator.random``, the plain doubles of the bit stream: NumPy keeps the stream
of PCG64 fixed, but not how ``choice``, ``shuffle`` and the like use it.
"""

from __future__ import annotations

import zlib

import numpy as np

from vri_pyro.utils.errors import UserError


def generator_for(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator whose stream depends on the seed and the purpose alone.

    Streams of different purposes are independent, so drawing more for one never moves another.

    Args:
        seed: the run's seed, at least 0.
        purpose: what the numbers are for, such as ``"noise"`` or ``"noisy batches", epoch``; integers
            are at least 0.

    Raises:
        UserError: the seed is negative.
    """
    if seed < 0:
        raise UserError(f"The seed is {seed}; give an integer of at least 0.")
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))


def permutation(generator: np.random.Generator, n: int) -> np.ndarray:
    """A random order of 0..n-1, int64 [n]."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64)


def categorical(generator: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One draw from each row's categorical distribution, by inversion.

    Args:
        generator: the source of one double a row.
        probabilities: [N, K], each row non-negative with a positive sum; rows are normalised.

    Returns:
        int64 [N]; an outcome of probability zero is never drawn.
    """
    cumulative = np.cumsum(probabilities, axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    return (generator.random(len(cumulative))[:, None] >= cumulative).sum(axis=1, dtype=np.int64)


def beta(generator: np.random.Generator, a: float, b: float, count: int) -> np.ndarray:
    """Draws from the beta distribution, by inversion: float64 [count].

    Args:
        generator: the source of one double a draw.
        a, b: the distribution's parameters, above 0.
        count: how many.
    """
    from scipy.special import betaincinv  # slow to import, and few runs need it

    return betaincinv(a, b, generator.random(count))

"""Standardisation of the inputs, and the mean and standard deviation for it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data.stored import StoredVectors
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.utils.errors import UserError

# Reading a million images for six numbers would take an hour. With this sample their standard errors are below 0.01.
_STREAMED_SAMPLE = 2048
_ROUNDING = 1e-12  # relative difference of values in double precision that may be a rounding error


def sample_of(x: Inputs, size: int = _STREAMED_SAMPLE) -> np.ndarray | StoredVectors:
    """Return arrays and stored vectors unchanged, and read ``size`` evenly spaced images of a streamed set."""
    return x[sample_positions(len(x), size)] if isinstance(x, Streamed) else x


def sample_positions(count: int, size: int) -> np.ndarray:
    """Return at most ``size`` evenly spaced positions of ``count`` examples, int64, ascending."""
    return np.unique(np.linspace(0, count - 1, size).astype(np.int64))


def overall_mean(x: np.ndarray | StoredVectors, chunk_size: int = 1024) -> float:
    """Compute the mean of all values, without a copy of the whole set."""
    chunks = range(0, len(x), chunk_size)
    return float(sum(x[i : i + chunk_size].sum(dtype=np.float64) for i in chunks) / math.prod(x.shape))


def mean_and_std(x: Inputs, chunk_size: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and standard deviation, per channel for images and per dimension for vectors.

    Args:
        x: images [N, H, W, C] or vectors [N, D], uint8 or float32. Of streamed images, those of :func:`sample_of` are
            read; stored vectors are all read, twice.
        chunk_size: number of examples converted to float64 at a time, to avoid a copy of the whole set.

    Returns:
        mean and std, float32 [C] or [D], in the units of x; divided by 255 if x is uint8. The std of a constant channel
        is exactly 0.

    Raises:
        UserError: a value is non-finite; inputs in memory have been checked before.
    """
    x = sample_of(x)
    axes = tuple(range(x.ndim - 1))
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    count = math.prod(x.shape[:-1])
    chunks = range(0, len(x), chunk_size)
    mean: np.ndarray = sum(x[i : i + chunk_size].sum(axis=axes, dtype=np.float64) for i in chunks) / count  # type: ignore[assignment]
    # A second pass avoids the cancellation in E[x²] - E[x]².
    squares = sum(np.square(x[i : i + chunk_size] - mean).sum(axis=axes) for i in chunks)
    std: np.ndarray = np.sqrt(squares / count)
    if not np.isfinite(std).all():
        raise UserError(
            f"Dimension {int(np.isfinite(std).argmin())} of the inputs has a non-finite value; write the inputs again."
        )
    std[std <= np.finfo(np.float32).eps * np.abs(mean)] = 0.0
    return (mean / scale).astype(np.float32), (std / scale).astype(np.float32)


def varies(least: np.ndarray, greatest: np.ndarray) -> np.ndarray:
    """Return which columns vary by more than rounding errors.

    The standard deviation of a constant column such as 0.1 is seldom 0, because its mean is rounded.

    Args:
        least, greatest: least and greatest value of each column, float64 [D].
    """
    return greatest - least > _ROUNDING * np.maximum(np.abs(least), np.abs(greatest))


def standardise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardise a batch of inputs, as in training and evaluation.

    Args:
        x: inputs [B, ...], uint8 or float32; uint8 inputs are divided by 255 first.
        mean: mean to subtract, float32, broadcastable to ``x``.
        std: standard deviation to divide by, of the same shape as ``mean``, without zeros.

    Returns:
        the standardised inputs, float32 [B, ...].
    """
    scaled = x.float() / 255 if x.dtype == torch.uint8 else x
    return (scaled - mean) / std

"""Normal random numbers by inversion, so that they too depend on ``Generator.random`` alone."""

from __future__ import annotations

import numpy as np
import torch

# random() is a multiple of 2^-53 and can be 0, whose quantile is infinite.
_SMALLEST = 2.0**-54


def standard_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws from N(0, 1), float64 of the given shape: one double each."""
    return _quantile(np.maximum(generator.random(shape), _SMALLEST))


def truncated_normal(generator: np.random.Generator, count: int, mean: float, std: float) -> np.ndarray:
    """Draws from N(mean, std²) restricted to [0, 1], float64 [count]: one double each.

    Args:
        generator: the source of randomness.
        count: how many.
        mean: the untruncated mean, from 0 to 1.
        std: the untruncated standard deviation, at least 0; 0 gives the mean itself.
    """
    doubles = generator.random(count)
    if std == 0.0:
        return np.full(count, mean)
    low, high = torch.special.ndtr(torch.tensor([-mean / std, (1.0 - mean) / std], dtype=torch.float64)).tolist()
    draws = mean + std * _quantile(np.maximum(low + doubles * (high - low), _SMALLEST))
    return np.clip(draws, 0.0, 1.0)


def _quantile(probabilities: np.ndarray) -> np.ndarray:
    return torch.special.ndtri(torch.from_numpy(probabilities)).numpy()

"""Normal random numbers by inversion, drawn only with ``Generator.random``."""

from __future__ import annotations

import numpy as np
import torch

# random() is a multiple of 2^-53 and can be 0, which has an infinite quantile.
_SMALLEST = 2.0**-54


def standard_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from N(0, 1), float64 of the given shape, with one double per draw."""
    return _quantile(np.maximum(generator.random(shape), _SMALLEST))


def truncated_normal(generator: np.random.Generator, count: int, mean: float, std: float) -> np.ndarray:
    """Draw from N(mean, std²) truncated to [0, 1], float64 [count], with one double per draw.

    Args:
        generator: the random generator.
        count: number of draws.
        mean: mean before truncation, from 0 to 1.
        std: standard deviation before truncation, at least 0; with 0, all draws equal the mean.
    """
    doubles = generator.random(count)
    if std == 0.0:
        return np.full(count, mean)
    low, high = torch.special.ndtr(torch.tensor([-mean / std, (1.0 - mean) / std], dtype=torch.float64)).tolist()
    draws = mean + std * _quantile(np.maximum(low + doubles * (high - low), _SMALLEST))
    return np.clip(draws, 0.0, 1.0)


def _quantile(probabilities: np.ndarray) -> np.ndarray:
    return torch.special.ndtri(torch.from_numpy(probabilities)).numpy()

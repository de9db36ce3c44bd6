"""Draw the noisy examples that are kept out of training."""

from __future__ import annotations

import math

import numpy as np

from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.utils.errors import UserError


def draw_noisy_holdout(noisy: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw the noisy examples that are kept out of training, ascending; a larger share contains the smaller ones.

    Args:
        noisy: positions of the noisy examples, int64 [N].
        share: the share of them, from 0 to below 1, rounded up.
        seed: the seed of the split.

    Raises:
        UserError: no noisy example is left to train on.
    """
    count = math.ceil(share * len(noisy))
    if count == len(noisy):
        raise UserError(
            f"noisy_holdout {share} keeps all {count} noisy examples out of training; reduce it or add noisy examples."
        )
    return drawn(noisy, count, seed)


def drawn(noisy: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw ``count`` of the noisy examples [N] at random, ascending."""
    if count == 0:
        return noisy[:0]
    return np.sort(noisy[permutation(generator_for(seed, "noisy holdout"), len(noisy))[:count]])

"""Which examples make up which batch: a pure function of the seed and the step's number.

There is no iterator with a state to save: a run resumed in mid-epoch asks for the next step's batch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.utils.errors import UserError


def batch_indices(n: int, batch_size: int, seed: int, purpose: str, step: int) -> np.ndarray:
    """The batch of one step, from an endless sequence of shuffled passes over n examples.

    Every pass has ``n // batch_size`` full batches; the few examples left over differ from pass to pass, and
    no batch holds an example twice.

    Args:
        n: number of examples.
        batch_size: examples a batch; a set that is no larger is used whole.
        seed: the run's seed.
        purpose: tells sequences with the same seed apart, such as ``"clean batches"``.
        step: number of the step since the run began, from 0.

    Returns:
        int64 [min(batch_size, n)].

    Raises:
        UserError: no examples, or a batch size below one.
    """
    if n < 1:
        raise UserError("There are no examples to make batches of; give at least one.")
    if batch_size < 1:
        raise UserError(f"The batch size is {batch_size}; give at least 1.")
    size = min(batch_size, n)
    number, position = divmod(step, n // size)
    return _pass(n, seed, purpose, number)[position * size : (position + 1) * size]


# Consecutive steps ask for the same pass; two sequences run side by side.
@lru_cache(maxsize=8)
def _pass(n: int, seed: int, purpose: str, number: int) -> np.ndarray:
    shuffled = permutation(generator_for(seed, purpose, number), n)
    shuffled.flags.writeable = False
    return shuffled

"""The order of examples in batches, as a pure function of the seed and the step.

There is no iterator state to save. A run that resumes in the middle of an epoch requests the batch of the next step.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.utils.errors import UserError


def batch_indices(n: int, batch_size: int, seed: int, purpose: str, step: int) -> np.ndarray:
    """Return the indices of the batch at one step, from an endless sequence of shuffled passes over n examples.

    Every pass has ``n // batch_size`` full batches and drops the remaining examples, which differ between passes.
    No batch contains an example twice.

    Args:
        n: number of examples.
        batch_size: examples per batch; if it is at least n, every batch contains all n examples.
        seed: the run's seed.
        purpose: distinguishes sequences with the same seed, such as ``"clean batches"``.
        step: number of the step since the start of the run, from 0.

    Returns:
        indices of the examples, int64 [min(batch_size, n)].

    Raises:
        UserError: ``n`` or ``batch_size`` is below 1.
    """
    if n < 1:
        raise UserError("There are no examples to draw batches from; expected at least one.")
    if batch_size < 1:
        raise UserError(f"The batch size is {batch_size}; expected a value >= 1.")
    size = min(batch_size, n)
    number, position = divmod(step, n // size)
    return _pass(n, seed, purpose, number)[position * size : (position + 1) * size]


# Consecutive steps use the same pass, and training draws from several sequences in turn.
@lru_cache(maxsize=8)
def _pass(n: int, seed: int, purpose: str, number: int) -> np.ndarray:
    shuffled = permutation(generator_for(seed, purpose, number), n)
    shuffled.flags.writeable = False
    return shuffled

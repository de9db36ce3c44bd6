"""The stateless order of batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import batch_indices
from vri_pyro.utils.errors import UserError

few = settings(max_examples=40, deadline=None, derandomize=True)


@given(n=st.integers(1, 300), batch_size=st.integers(1, 120), seed=st.integers(0, 2**32), number=st.integers(0, 5))
@few
def test_every_pass_holds_each_example_at_most_once(n: int, batch_size: int, seed: int, number: int) -> None:
    steps = max(n // batch_size, 1)
    batches = [batch_indices(n, batch_size, seed, "clean batches", number * steps + i) for i in range(steps)]
    drawn = np.concatenate(batches)
    assert len(np.unique(drawn)) == len(drawn) == steps * min(n, batch_size)
    assert (drawn.min(), drawn.max()) >= (0, 0)
    assert drawn.max() < n
    last = batch_indices(n, batch_size, seed, "clean batches", number * steps + steps - 1)
    assert np.array_equal(batches[-1], last)


def test_passes_and_purposes_have_orders_of_their_own() -> None:
    first = batch_indices(100, 100, 0, "clean batches", 0)
    assert not np.array_equal(first, batch_indices(100, 100, 0, "clean batches", 1))
    assert not np.array_equal(first, batch_indices(100, 100, 0, "noisy batches", 0))
    assert not np.array_equal(first, batch_indices(100, 100, 1, "clean batches", 0))


def test_examples_left_over_by_one_pass_are_used_by_others() -> None:
    drawn = np.concatenate([batch_indices(10, 4, 0, "clean batches", step) for step in range(20)])
    assert set(drawn) == set(range(10))


def test_small_set_is_used_whole_at_every_step() -> None:
    assert sorted(batch_indices(7, 100, 0, "clean batches", 3).tolist()) == list(range(7))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="batch size is 0"):
        batch_indices(10, 0, 0, "clean batches", 0)
    with pytest.raises(UserError, match="no examples"):
        batch_indices(0, 10, 0, "clean batches", 0)

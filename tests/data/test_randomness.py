"""Seeded random streams: stability, independence between purposes, and distributions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import categorical, generator_for, permutation
from vri_pyro.utils.errors import UserError


def test_stream_is_the_one_on_record() -> None:
    drawn = permutation(generator_for(7, "split", 3), 1000)
    digest = hashlib.sha256(drawn.astype("<i8").tobytes()).hexdigest()
    assert digest == "7f4ad1ea00f712a4821c45b6597ff61dc6355cf20b3e1e5d45c7b5bf661f4aff"


@pytest.mark.parametrize("purpose", [(), ("split",), ("noise", 1), ("noise", 0), (0,), ("noise", 2**40)])
def test_every_purpose_has_its_own_stream(purpose: tuple[str | int, ...]) -> None:
    own = generator_for(1, *purpose).random(4)
    assert np.array_equal(own, generator_for(1, *purpose).random(4))
    assert not np.array_equal(own, generator_for(2, *purpose).random(4))
    assert not np.array_equal(own, generator_for(1, "noise").random(4))


@given(st.integers(0, 2**64), st.integers(0, 200))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_permutation_holds_every_number_once(seed: int, n: int) -> None:
    assert np.array_equal(np.sort(permutation(generator_for(seed), n)), np.arange(n))


def test_outcome_of_probability_zero_is_never_drawn() -> None:
    rows = np.tile([0.0, 0.1, 0.0, 0.7, 0.2, 0.0], (20_000, 1))
    assert set(categorical(generator_for(0), rows)) == {1, 3, 4}


def test_rows_that_do_not_quite_sum_to_one_stay_in_range() -> None:
    rows = np.full((50_000, 10), 0.1 - 1e-9)
    assert categorical(generator_for(0), rows).max() == 9


def test_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match="seed is -1; expected a value >= 0"):
        generator_for(-1, "split")

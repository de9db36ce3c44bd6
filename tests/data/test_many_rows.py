"""Large data sets: work in chunks gives the same labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.data import Flip
from vri_pyro.data.noise import class_conditional
from vri_pyro.data.randomness import categorical, generator_for


def test_noise_drawn_in_chunks_equals_noise_drawn_at_once() -> None:
    labels = np.arange(3 * class_conditional._CHUNK + 5) % 7
    noise, generator = Flip(0.4), generator_for(0, "noise")
    transition = noise.transition(7, generator)
    expected = categorical(generator, transition[labels])
    given = noise.apply(labels, labels[:, None], 7, generator_for(0, "noise")).labels
    np.testing.assert_array_equal(given, expected)

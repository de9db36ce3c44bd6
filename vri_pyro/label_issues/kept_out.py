"""The noise rate of all labels, by those that were kept out of training."""

from __future__ import annotations

import numpy as np


def rate_of_all(rates: np.ndarray, kept_out: int, labels: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the noise rate of all labels, given draws of the rate of a random sample of them, [draws].

    The rate r of the population, from which the sample of n was drawn, has Jeffreys' posterior
    Beta(1/2 + n r, 1/2 + n (1 − r)). The number of wrong labels among the others is binomial.

    Args:
        rates: draws of the share of wrong labels in the sample, [draws].
        kept_out: size n of the sample.
        labels: number of all labels, with the sample.
        generator: source of randomness.
    """
    wrong = rates * kept_out
    population = generator.beta(0.5 + wrong, 0.5 + kept_out - wrong)
    return np.asarray((wrong + generator.binomial(labels - kept_out, population)) / labels)

"""Logistic regression on noisy and clean examples, in which a clean example counts as ten noisy ones."""

from __future__ import annotations

import numpy as np

from baselines.given import Floats, Given
from baselines.logistic import chosen_logistic

CLEAN_WEIGHT = 10.0


def predict(data: Given) -> Floats:
    """Return the probabilities of the weighted logistic regression, [n_test, K]; C is chosen on validation.

    Without clean examples, it is fitted to the noisy ones alone.
    """
    data = data.standardised()
    weight = np.where(data.is_clean, CLEAN_WEIGHT, 1.0)
    return chosen_logistic(data, data.x, data.y, weight)(data.x_test)

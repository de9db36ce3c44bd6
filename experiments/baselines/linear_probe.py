"""Logistic regression on the clean examples alone."""

from __future__ import annotations

from baselines.given import Floats, Given
from baselines.logistic import chosen_logistic


def predict(data: Given) -> Floats:
    """Return the probabilities of a logistic regression on the clean examples, [n_test, K]; C is chosen on validation.

    Without clean examples, it is fitted to the noisy ones.
    """
    data = data.standardised()
    few = (data.x_clean, data.y_clean) if len(data.y_clean) else (data.x_noisy, data.y_noisy)
    return chosen_logistic(data, *few)(data.x_test)

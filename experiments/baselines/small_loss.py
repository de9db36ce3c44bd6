"""Logistic regression on the clean examples and on the noisy ones of small loss, selected in rounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.given import Floats, Given
from baselines.logistic import chosen_logistic

ROUNDS = 3


def predict(data: Given) -> Floats:
    """Return the probabilities of the logistic regression of the last round, [n_test, K]; C is chosen on validation.

    The first regression is fitted to the clean examples; without any, to the noisy ones. Each of three rounds then
    selects noisy examples (:func:`small_losses`) and fits a regression to them and the clean ones.
    """
    data = data.standardised()
    start = data.is_clean if len(data.y_clean) else ~data.is_clean
    fitted = chosen_logistic(data, data.x[start], data.y[start])
    known = np.unique(data.y[start])
    for _ in range(ROUNDS):
        kept = np.concatenate([data.is_clean[data.is_clean], small_losses(fitted(data.x_noisy), data, known)])
        fitted = chosen_logistic(data, data.x[kept], data.y[kept])
        known = np.unique(data.y[kept])
    return fitted(data.x_test)


def small_losses(probabilities: Floats, data: Given, known: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Select the noisy examples with the smallest loss of each given label.

    The number to keep of a label is that of its examples on which the predicted class agrees with it. All examples of a
    label that the classifier does not know are kept, since nothing can be said of them.

    Args:
        probabilities: predictions for the noisy examples, [N, K].
        data: the noisy examples.
        known: the labels that the classifier was trained on.

    Returns:
        whether to keep each noisy example, [N].
    """
    y = data.y_noisy
    given = probabilities[np.arange(len(y)), y]
    keep = ~np.isin(y, known)
    for label in known:
        members = np.flatnonzero(y == label)
        agreeing = int((probabilities[members].argmax(1) == label).sum())
        keep[members[np.argsort(-given[members], kind="stable")[:agreeing]]] = True
    return keep

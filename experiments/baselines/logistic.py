"""Logistic regression whose strength of regularisation is chosen on the validation examples."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
from sklearn.linear_model import LogisticRegression

from baselines.classes import Predictor, best, constant, over_all_classes, quiet, shares_of
from baselines.given import Floats, Given, Integers

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MOST_ITERATIONS = 50  # for each C, which starts from the solution of the one before


def chosen_logistic(data: Given, x: Floats, y: Integers, weight: Floats | None = None) -> Predictor:
    """Return the logistic regression with the C of :data:`GRID` that is best on the validation examples.

    Labels of a single class give the constant prediction of that class.

    Args:
        data: the validation examples.
        x, y: the examples to fit, [n, D] and [n].
        weight: their weights, [n]; all 1 if None.
    """
    if len(np.unique(y)) < 2:
        return constant(shares_of(y, data.num_classes))
    return best(_path(x, y, data.num_classes, weight), data)


def _path(x: Floats, y: Integers, num_classes: int, weight: Floats | None) -> Iterator[Predictor]:
    model = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True)
    for c in GRID:
        with quiet():
            model.set_params(C=c).fit(x, y, weight)
        fitted = copy.deepcopy(model)
        yield lambda new, fitted=fitted: over_all_classes(fitted, new, num_classes)

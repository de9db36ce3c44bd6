"""Support vector machine that removes the noisy labels it disagrees with, in rounds."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax
from sklearn.svm import SVC

from baselines.classes import Predictor, best, constant, quiet, shares_of
from baselines.given import Floats, Given, Integers

DIM, GRID, ROUNDS = 256, (1.0, 10.0), 3


def predict(data: Given) -> Floats:
    """Return class probabilities of the machine of the last round, [n_test, K].

    The first machine, with an RBF kernel, is trained on the clean examples. Each of three rounds then trains another
    one on the clean examples and on the noisy ones whose label the last machine predicts. C is chosen on validation.
    A label without clean examples cannot be predicted at first, so all its examples are kept in the first round.
    Without clean examples, the first machine is trained on the noisy ones.

    The probabilities are the softmax of the decision values, so their order is meaningful and their size is not. More
    than 256 features are reduced to 256 principal components first: the time grows with the number of features.
    """
    data = data.standardised().reduced(DIM)
    used = data.is_clean if len(data.y_clean) else ~data.is_clean
    for _ in range(ROUNDS):
        fitted = best((machine(data.x[used], data.y[used], data.num_classes, c) for c in GRID), data)
        agrees = fitted(data.x).argmax(1) == data.y
        used = data.is_clean | agrees | ~np.isin(data.y, data.y[used])
    return best((machine(data.x[used], data.y[used], data.num_classes, c) for c in GRID), data)(data.x_test)


def machine(x: Floats, y: Integers, num_classes: int, c: float) -> Predictor:
    """Return a support vector machine with an RBF kernel, fitted to x [n, D] and y [n] at C = c."""
    if len(np.unique(y)) < 2:
        return constant(shares_of(y, num_classes))
    with quiet():
        model = SVC(C=c, gamma="scale").fit(x, y)

    def probabilities(new: Floats) -> Floats:
        found, decision = np.zeros((len(new), num_classes)), model.decision_function(new)
        if decision.ndim == 1:
            found[:, model.classes_] = np.stack([expit(-decision), expit(decision)], 1)
        else:
            found[:, model.classes_] = softmax(decision, axis=1)
        return found

    return probabilities

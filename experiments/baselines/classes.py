"""Probabilities over all classes, from classifiers that know only the classes they were trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from baselines.given import Floats, Given, Integers

#: Maps inputs [n, D] to probabilities of all classes [n, K].
Predictor = Callable[[Floats], Floats]


class Trained(Protocol):
    """A trained classifier of scikit-learn: ``classes_`` and ``predict_proba``."""

    classes_: Integers

    def predict_proba(self, x: Floats) -> Floats:
        """Return probabilities of ``classes_``, [n, len(classes_)]."""


@contextmanager
def quiet() -> Iterator[None]:
    """Context without the warnings of a fit that reaches its last iteration, or has nearly as many classes as rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def over_all_classes(model: Trained, x: Floats, num_classes: int) -> Floats:
    """Return the probabilities of all K classes, [n, K]; 0 for classes that the model was not trained on."""
    probabilities = np.zeros((len(x), num_classes))
    probabilities[:, model.classes_] = model.predict_proba(x)
    return probabilities


def constant(shares: Floats) -> Predictor:
    """Return the predictor of the same probabilities, [K], for every example."""
    return lambda x: np.tile(shares, (len(x), 1))


def shares_of(y: Integers, num_classes: int) -> Floats:
    """Return the share of each class among labels, [K]."""
    return np.bincount(y, minlength=num_classes) / len(y)


def score(probabilities: Floats, y: Integers) -> tuple[float, float]:
    """Return accuracy and, to break ties, mean log-probability of labels [n] under predictions [n, K]."""
    right = probabilities[np.arange(len(y)), y]
    return float((probabilities.argmax(1) == y).mean()), float(np.log(right.clip(1e-6)).mean())


def best(predictors: Iterable[Predictor], data: Given) -> Predictor:
    """Return the predictor with the highest score on the validation examples."""
    return max(predictors, key=lambda predict: score(predict(data.x_validation), data.y_validation))

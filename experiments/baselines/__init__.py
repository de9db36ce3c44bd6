"""Baselines that a user would write in ten lines, on vectors: features of a network, or flattened images.

Every baseline is a function ``predict(data)``, which takes a :class:`~baselines.given.Given` and returns probabilities
of all K classes for the test examples, [n_test, K]. All work with missing classes and without clean examples; their
docstrings say how.
"""

from collections.abc import Callable

from baselines import (
    adaptive_neighbours,
    boosting,
    linear_probe,
    majority,
    self_filtered_svm,
    small_loss,
    weighted_regression,
)
from baselines.given import Floats, Given

BASELINES: dict[str, Callable[[Given], Floats]] = {
    "majority class": majority.predict,
    "linear probe": linear_probe.predict,
    "logistic regression": weighted_regression.predict,
    "gradient boosting": boosting.predict,
    "small loss": small_loss.predict,
    "self-filtered SVM": self_filtered_svm.predict,
    "adaptive neighbours": adaptive_neighbours.predict,
}

__all__ = ["BASELINES", "Given"]

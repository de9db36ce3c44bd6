"""Out-of-sample class probabilities from features and labels."""

from __future__ import annotations

import warnings

import numpy as np

from vri_pyro.methods.confident_learning import fold_of

_FOLDS = 5
_ITERATIONS = 200
LARGEST = 200_000_000  # examples times features times classes; about half a minute on one core


def cross_validated(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> np.ndarray | None:
    """Return class probabilities from logistic regression in 5-fold cross-validation, float32 [N, K].

    Each example is predicted by a classifier that was not trained on its label. Folds are stratified by label; a class
    that is not in the other folds has probability 0.

    Args:
        features: standardised features, [N, D].
        labels: given labels, int64 [N].
        num_classes: number of classes K.
        seed: seed of the folds.

    Returns:
        the probabilities; None if N · D · K is above 2e8, or if the labels of some training set are all equal.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # slow to import

    if features.size * num_classes > LARGEST:
        return None
    fold = fold_of(labels, min(_FOLDS, len(labels)), seed)
    found = np.zeros((len(labels), num_classes), dtype=np.float32)
    for number in range(int(fold.max()) + 1):
        train, held_out = fold != number, np.flatnonzero(fold == number)
        if len(np.unique(labels[train])) < 2:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the regularised optimum is not needed exactly
            classifier = LogisticRegression(max_iter=_ITERATIONS).fit(features[train], labels[train])
        found[np.ix_(held_out, classifier.classes_)] = classifier.predict_proba(features[held_out])
    return found

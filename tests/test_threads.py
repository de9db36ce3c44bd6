"""Training in several threads at once gives the results of training alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_wine

from vri_pyro import VRIClassifier


def _probabilities(seed: int) -> np.ndarray:
    x, y = load_wine(return_X_y=True)
    return VRIClassifier(epochs=2, random_state=seed).fit(x, y, trusted=range(0, 178, 6)).predict_proba(x)


@pytest.mark.usefixtures("short_choice")
def test_classifiers_that_are_fitted_at_once_equal_those_fitted_alone() -> None:
    alone = [_probabilities(seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(_probabilities, (0, 1)))
    np.testing.assert_array_equal(together, alone)

"""The share of wrong labels among the others, after the most suspicious labels were verified."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from vri_pyro import VRIClassifier, find_label_issues

SIZE, CLASSES, CHECKED = 1200, 4, 100
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def drawn(seed: int) -> Drawn:
    """Overlapping classes, 20% of whose labels are wrong; the 100 most suspicious labels were verified.

    Returns inputs, labels, true classes, verified classes, and cross-validated probabilities of the labels.
    """
    random = np.random.default_rng(seed)
    true = random.integers(CLASSES, size=SIZE)
    x = 0.9 * random.normal(size=(CLASSES, 8))[true] + random.normal(size=(SIZE, 8))
    given = np.where(random.random(SIZE) < 0.2, (true + random.integers(1, CLASSES, size=SIZE)) % CLASSES, true)
    p = cross_val_predict(LogisticRegression(), x, given, method="predict_proba")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trusted labels
        top = find_label_issues(given, features=x)["index"].to_numpy()[:CHECKED]
    verified = np.full(SIZE, -1)
    verified[top] = true[top]
    return x, given, true, verified, p


@pytest.fixture(scope="module")
def data() -> list[Drawn]:
    return [drawn(seed) for seed in range(3)]


@pytest.mark.parametrize(("kind", "bias"), [("features", 0.03), ("pred_probs", 0.05)])
def test_share_among_the_others_is_estimated_as_if_nobody_had_looked(data: list[Drawn], kind: str, bias: float) -> None:
    errors = []
    for x, given, true, verified, p in data:
        rest = verified < 0
        with pytest.warns(UserWarning, match="so they are no sample of the noise"):
            table = find_label_issues(given, verified=verified, **{kind: x if kind == "features" else p})
        rate, (low, high) = (given != true)[rest].mean(), table.attrs["noise_rate_interval"]
        assert low <= rate <= high
        errors.append(table.attrs["noise_rate"] - rate)
        own = table.set_index("index")["score"][np.flatnonzero(rest)]
        assert own.mean() == pytest.approx(table.attrs["noise_rate"], abs=1e-6)
        assert (table.tail(CHECKED)["verified"] == true[table.tail(CHECKED)["index"]]).all()
    assert abs(np.mean(errors)) < bias


def test_classifier_estimates_it_so_too(data: list[Drawn]) -> None:
    errors = []
    for x, given, true, verified, _ in data:
        classifier = VRIClassifier("learned_transition", epochs=2, device="cpu").fit(x, given, verified=verified)
        with pytest.warns(UserWarning, match="There are no trusted examples"):
            low, high = classifier.noise_rate_interval_
        rate = (given != true)[verified < 0].mean()
        assert low <= rate <= high
        errors.append(classifier.noise_rate_ - rate)
        assert len(classifier.label_issues_) == SIZE - CHECKED
    assert abs(np.mean(errors)) < 0.03

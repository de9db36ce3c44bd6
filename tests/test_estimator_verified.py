"""VRIClassifier with the verified class of some examples beside their label as given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP

COUNT, CLASSES = 300, 3


def short(method: str = "auto") -> VRIClassifier:
    """A classifier of a given network that is trained for two epochs; T does not depend on how well it is trained."""
    return VRIClassifier(method, epochs=2, backbone=lambda shape, classes: MLP(shape, classes, hidden=()))


def overlapping(seed: int = 0, spread: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian classes that overlap: inputs, labels as given of which 30% are wrong, and true labels."""
    generator = np.random.default_rng(seed)
    true = np.arange(COUNT) % CLASSES
    x = spread * generator.standard_normal((CLASSES, 6))[true] + generator.standard_normal((COUNT, 6))
    return x, np.where(generator.random(COUNT) < 0.3, (true + 1) % CLASSES, true), true


def marked(true: np.ndarray, positions: np.ndarray) -> np.ndarray:
    verified = np.full(len(true), -1)
    verified[positions] = true[positions]
    return verified


def test_verified_examples_are_trained_with_their_class_and_keep_their_label_in_the_split() -> None:
    x, given, true = overlapping()
    some = np.arange(0, COUNT, 6)
    names = np.array(["ant", "bee", "cat"])
    told = np.array(["", *names])[marked(true, some) + 1]
    classifier = short("vri").fit(x, names[given], verified=told)
    assert classifier.n_trusted_ == len(some)
    assert classifier.method_ == "vri"
    split = classifier.run_.split
    trusted = np.sort(np.concatenate([split.clean_indices, split.validation_indices]))
    assert np.array_equal(trusted, some)
    assert np.array_equal(classifier.run_.examples.y[some].numpy(), true[some])
    assert split.pairs is not None
    assert np.array_equal(split.pairs.given, given[some])
    assert np.array_equal(split.pairs.classes, true[some])
    assert np.array_equal(np.sort(classifier.label_issues_["index"]), np.setdiff1d(np.arange(COUNT), some))
    prior = classifier.run_.model.concentration.sum()
    replaced = names[np.where(np.isin(np.arange(COUNT), some), true, given)]
    alone = short("vri").fit(x, replaced, trusted=some)
    assert prior - alone.run_.model.concentration.sum() == pytest.approx(len(some), abs=1e-3)


@pytest.mark.slow
def test_transition_is_known_better_than_with_the_same_labels_trusted() -> None:
    errors = []
    for seed in range(4):
        x, given, true = overlapping(seed)
        some = np.random.default_rng(seed).choice(COUNT, 60, replace=False)
        corrected = given.copy()
        corrected[some] = true[some]
        fitted = (
            short().fit(x, corrected, trusted=some),
            short().fit(x, given, verified=marked(true, some)),
        )
        truth = 0.7 * np.eye(CLASSES) + 0.3 * np.roll(np.eye(CLASSES), 1, axis=1)
        errors.append([np.abs(one.transition_ - truth).mean() for one in fitted])
    assert np.mean(errors, axis=0)[1] < np.mean(errors, axis=0)[0]


def test_verified_and_trusted_examples_are_joined() -> None:
    x, given, true = overlapping()
    some, others = np.arange(0, 60, 4), np.arange(1, 60, 4)
    given[others] = true[others]
    classifier = short().fit(x, given, trusted=others, verified=marked(true, some))
    assert classifier.n_trusted_ == 30
    assert len(classifier.run_.split.pairs.indices) == 15


@pytest.mark.parametrize(
    ("verified", "trusted", "message"),
    [
        ([0, 1], None, "verified has 2 entries for 300 examples"),
        ([7] + 299 * [-1], None, r"verified\[0\] is 7, which is not one of the classes \(0, 1, 2\)"),
        ([0.5] + 299 * [-1], None, r"verified\[0\] is 0.5"),
        (300 * [-1], None, "verified has no checked class"),
        (300 * [1], None, "verified has a class for every example"),
        ("wrong", [0], "Example 0 is in trusted, which says that its label"),
    ],
)
def test_unusable_verified_classes_are_refused(verified: Any, trusted: Any, message: str) -> None:
    x, given, _ = overlapping()
    if verified == "wrong":
        verified = [int(given[0] + 1) % 3] + 299 * [-1]
    with pytest.raises(ValueError, match=message):
        short().fit(x, given, trusted=trusted, verified=verified)


def test_series_of_verified_classes_in_another_order_is_refused() -> None:
    x, given, true = overlapping()
    verified = pd.Series(marked(true, np.arange(30))).iloc[::-1]
    with pytest.raises(ValueError, match="y and verified have the same index in different orders"):
        short().fit(x, pd.Series(given), verified=verified)

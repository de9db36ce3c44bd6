"""Baselines: each returns probabilities of all classes on any data, and does what it is meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from baselines import BASELINES, Given
from baselines.adaptive_neighbours import neighbourhoods
from baselines.given import Integers
from baselines.small_loss import small_losses
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from vri_pyro.utils.errors import UserError


def _task(
    noisy: int = 400,
    clean_per_class: int = 5,
    classes: int = 3,
    dim: int = 6,
    rate: float = 0.4,
    distance: float = 3.0,
    seed: int = 0,
) -> tuple[Given, Integers, Integers]:
    """Gaussian clusters with uniform label noise; also the true labels of the test and of the noisy examples."""
    generator = np.random.default_rng(seed)
    if classes <= dim:
        centres = distance * np.linalg.qr(generator.normal(size=(dim, classes)))[0].T
    else:
        centres = distance * generator.normal(size=(classes, dim))

    def draw(y: Integers) -> tuple[Any, Integers]:
        return centres[y] + generator.normal(size=(len(y), dim)), y

    x_noisy, truth = draw(generator.integers(classes, size=noisy))
    x_clean, y_clean = draw(np.arange(clean_per_class * classes) % classes)
    x_validation, y_validation = draw(np.arange(20 * classes) % classes)
    x_test, y_test = draw(np.arange(60 * classes) % classes)
    wrong = generator.random(noisy) < rate
    y_noisy = np.where(wrong, (truth + generator.integers(1, classes, size=noisy)) % classes, truth)
    given = Given(x_noisy, y_noisy, x_clean, y_clean, x_validation, y_validation, x_test, classes, seed)
    return given, y_test, truth


def _without_clean(given: Given) -> Given:
    return replace(given, x_clean=given.x_clean[:0], y_clean=given.y_clean[:0])


def _without_clean_of_class_0(given: Given) -> Given:
    kept = given.y_clean != 0
    return replace(given, x_clean=given.x_clean[kept], y_clean=given.y_clean[kept])


def _one_label(given: Given) -> Given:
    return replace(_without_clean(given), y_noisy=np.full_like(given.y_noisy, 1))


def _one_clean_example(given: Given) -> Given:
    return replace(given, x_clean=given.x_clean[:1], y_clean=given.y_clean[:1])


def _few_noisy(given: Given) -> Given:
    return replace(given, x_noisy=given.x_noisy[:7], y_noisy=given.y_noisy[:7])


def _constant_column(given: Given) -> Given:
    inputs = ("x_noisy", "x_clean", "x_validation", "x_test")
    return replace(given, **{name: getattr(given, name) * ([1] * 5 + [0]) + ([0] * 5 + [7]) for name in inputs})


HARD: dict[str, Callable[[], Given]] = {
    "usual": lambda: _task()[0],
    "two classes": lambda: _task(classes=2)[0],
    "30 classes": lambda: _task(noisy=150, clean_per_class=1, classes=30, dim=5)[0],
    "more features than are kept": lambda: _task(noisy=300, dim=300)[0],
    "no clean examples": lambda: _without_clean(_task()[0]),
    "no clean examples of a class": lambda: _without_clean_of_class_0(_task()[0]),
    "one clean example": lambda: _one_clean_example(_task()[0]),
    "one label": lambda: _one_label(_task()[0]),
    "few noisy examples": lambda: _few_noisy(_task()[0]),
    "constant column": lambda: _constant_column(_task()[0]),
}


@pytest.mark.parametrize("setting", HARD)
@pytest.mark.parametrize("name", BASELINES)
def test_predictions_are_probabilities_of_all_classes_and_repeat(name: str, setting: str) -> None:
    given = HARD[setting]()
    found = BASELINES[name](given)
    assert found.shape == (len(given.x_test), given.num_classes)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(BASELINES[name](given), found)


LEARNING = [name for name in BASELINES if name != "majority class"]


def _accuracy(name: str, given: Given, y_test: Integers) -> float:
    return float((BASELINES[name](given).argmax(1) == y_test).mean())


@pytest.mark.parametrize("name", LEARNING)
def test_separable_clusters_are_learned_in_spite_of_wrong_labels(name: str) -> None:
    given, y_test, _ = _task()
    least = 0.8 if name == "gradient boosting" else 0.9  # trees split along the axes, the clusters lie across them
    assert _accuracy(name, given, y_test) > least


@pytest.mark.parametrize("name", LEARNING)
def test_class_without_clean_examples_is_learned_from_its_noisy_ones(name: str) -> None:
    given, y_test, _ = _task(rate=0.1)
    given = _without_clean_of_class_0(given)
    found = (BASELINES[name](given).argmax(1) == y_test)[y_test == 0].mean()
    assert found == 0 if name == "linear probe" else found > 0.8


@pytest.mark.parametrize("name", ["logistic regression", "small loss", "self-filtered SVM", "adaptive neighbours"])
def test_noisy_examples_improve_on_few_clean_ones(name: str) -> None:
    accuracies = []
    for seed in range(5):
        given, y_test, _ = _task(clean_per_class=2, dim=20, rate=0.3, seed=seed)
        accuracies.append([_accuracy(n, given, y_test) for n in (name, "linear probe")])
    ours, probe = np.mean(accuracies, 0)
    assert ours > probe + 0.03


def test_majority_class_predicts_the_most_frequent_known_label() -> None:
    given, _, _ = _task()
    given = replace(given, y_validation=np.where(np.arange(60) < 40, 2, given.y_validation))
    found = BASELINES["majority class"](given)
    assert (found.argmax(1) == 2).all()
    assert (found == found[0]).all()


def test_gradient_boosting_stops_before_it_memorises_the_wrong_labels() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    given, y_test, _ = _task(rate=0.45, noisy=600)
    all_rounds = HistGradientBoostingClassifier(max_iter=200, early_stopping=False, random_state=0)
    memorised = (all_rounds.fit(given.x, given.y).predict(given.x_test) == y_test).mean()
    assert _accuracy("gradient boosting", given, y_test) > memorised + 0.05


def test_small_losses_remove_most_wrong_labels_and_few_right_ones() -> None:
    given, _, truth = _task(noisy=1000)
    centres = np.stack([given.x_validation[given.y_validation == c].mean(0) for c in range(3)])
    logits = given.x_noisy @ centres.T
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    kept = small_losses(probabilities / probabilities.sum(1, keepdims=True), given, np.arange(3))
    right = given.y_noisy == truth
    assert kept[~right].mean() < 0.1
    assert kept[right].mean() > 0.9


def test_small_losses_keep_labels_that_the_classifier_does_not_know() -> None:
    given, _, _ = _task()
    probabilities = np.tile([0.0, 0.9, 0.1], (len(given.y_noisy), 1))
    kept = small_losses(probabilities, given, np.array([1, 2]))
    assert kept[given.y_noisy != 2].all()
    assert not kept[given.y_noisy == 2].any()


def test_label_agrees_with_the_majority_of_its_neighbourhood_and_of_no_smaller_one() -> None:
    given, _, truth = _task(noisy=300, rate=0.3)
    search = NearestNeighbors(algorithm="brute").fit(given.x_noisy)
    sizes = neighbourhoods(search, given.y_noisy, 3)
    near = search.kneighbors(n_neighbors=51, return_distance=False)
    for example in range(300):
        labels = given.y_noisy[near[example]]
        agreeing = [k for k in range(11, 51, 2) if np.bincount(labels[:k]).argmax() == given.y_noisy[example]]
        assert sizes[example] == (agreeing[0] if agreeing else 51)
    right = given.y_noisy == truth
    assert (1 / sizes[right]).mean() > 2 * (1 / sizes[~right]).mean()


def test_weighted_neighbours_beat_plain_ones_under_noise() -> None:
    gains = []
    for seed in range(5):
        given, y_test, _ = _task(clean_per_class=0, rate=0.55, distance=2.5, seed=seed)
        plain = KNeighborsClassifier(11).fit(given.x_noisy, given.y_noisy).score(given.x_test, y_test)
        gains.append(_accuracy("adaptive neighbours", given, y_test) - plain)
    assert np.mean(gains) > 0.05


def test_clean_neighbour_outvotes_noisy_ones() -> None:
    """A clean example votes as much as eleven noisy ones of the highest reliability."""
    generator = np.random.default_rng(0)
    x_noisy, x_clean = generator.normal(size=(60, 2)), np.zeros((3, 2)) + 1e-3 * generator.normal(size=(3, 2))
    given = Given(
        *(x_noisy, np.zeros(60, int), x_clean, np.ones(3, int), x_noisy[:2], np.array([0, 1]), np.zeros((1, 2)), 2)
    )
    votes = BASELINES["adaptive neighbours"](given)[0]
    np.testing.assert_allclose(votes, np.array([8 / 11, 3]) / (8 / 11 + 3))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"y_noisy": np.zeros(3, int)}, r"x_noisy has shape \(400, 6\), but there are 3 labels"),
        ({"y_clean": np.full(15, 3)}, "y_clean has a label outside 0 to 2; number the classes from 0"),
        ({"x_test": np.zeros((4, 5))}, "x_test has 5 columns; give one row per label"),
        (
            {"x_validation": np.zeros((0, 6)), "y_validation": np.zeros(0, int)},
            "there are no validation examples; give at least one",
        ),
    ],
)
def test_data_that_do_not_match_raise(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        replace(_task()[0], **change)

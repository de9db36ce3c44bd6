"""Tests of ``find_label_issues``: label errors from arrays alone."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.metrics import roc_auc_score

import vri_pyro
from vri_pyro.label_issues import find_label_issues, out_of_sample
from vri_pyro.utils.errors import UserError, UserTypeError

NAMES = np.array(["bird", "cat", "dog"])
AT_CHANCE = "ignore:out-of-sample predictions agree with .* hardly above chance:UserWarning"


class Arrays:
    """Three classes in orthogonal directions, 30% of the labels moved to the next class, and noisy predictions."""

    def __init__(self, size: int = 300, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.true = np.arange(size) % 3
        self.wrong = generator.random(size) < 0.3
        self.labels = np.where(self.wrong, (self.true + 1) % 3, self.true)
        self.features = np.eye(3)[self.true] + 0.25 * generator.standard_normal((size, 3))
        clean = np.exp(4 * (np.eye(3)[self.true] + 0.4 * generator.standard_normal((size, 3))))
        clean /= clean.sum(1, keepdims=True)
        self.pred_probs = 0.7 * clean + 0.3 * np.roll(clean, 1, axis=1)  # a classifier predicts noisy labels


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return Arrays()


def found(arrays: Arrays, labels: Any = None, **given: Any) -> pd.DataFrame:
    return find_label_issues(arrays.labels if labels is None else labels, draws=40, **given)


def scores(table: pd.DataFrame) -> np.ndarray:
    return table.sort_values("index")["score"].to_numpy()


@pytest.mark.parametrize("parts", [("pred_probs",), ("features",), ("pred_probs", "features")])
def test_wrong_labels_rank_first_and_the_noise_is_estimated(arrays: Arrays, parts: tuple[str, ...]) -> None:
    table = found(arrays, **{name: getattr(arrays, name) for name in parts})
    assert list(table) == ["index", "given", "suggested", "score", "uncertainty", "is_label_issue"]
    assert sorted(table["index"]) == list(range(300))
    assert table["score"].is_monotonic_decreasing
    assert table.index.equals(pd.RangeIndex(300))
    assert roc_auc_score(arrays.wrong, scores(table)) > 0.95
    assert (table["is_label_issue"] == (table["score"] > 0.5)).all()
    assert table["uncertainty"].between(0, 1).all()
    assert (table["given"] == arrays.labels[table["index"]]).all()
    issues = table[table["is_label_issue"]]
    assert (issues["suggested"] == arrays.true[issues["index"]]).mean() > 0.9
    low, high = table.attrs["noise_rate_interval"]
    assert low - 0.03 < arrays.wrong.mean() < high + 0.03
    matrix = np.array(table.attrs["transition_matrix"])
    np.testing.assert_allclose(matrix.sum(1), 1)
    np.testing.assert_allclose(matrix, 0.7 * np.eye(3) + 0.3 * np.roll(np.eye(3), 1, axis=1), atol=0.12)
    low, high = np.array(table.attrs["transition_matrix_interval"])
    assert ((low < matrix) & (matrix < high)).all()
    truth = np.array(
        [np.bincount(arrays.labels[arrays.true == c], minlength=3) / (arrays.true == c).sum() for c in range(3)]
    )
    assert ((low - 0.01 < truth) & (truth < high + 0.01)).mean() >= 7 / 9  # 0.01 is one example
    json.dumps(table.attrs)  # pandas writes them to Parquet as JSON


def test_noise_that_follows_a_pattern_is_found_better_than_by_self_confidence(arrays: Arrays) -> None:
    plain = 1 - arrays.pred_probs[np.arange(300), arrays.labels]
    ours = scores(found(arrays, pred_probs=arrays.pred_probs))
    assert roc_auc_score(arrays.wrong, ours) > roc_auc_score(arrays.wrong, plain) + 0.01


@pytest.mark.parametrize(
    "form",
    [
        lambda y: NAMES[y],
        lambda y: list(NAMES[y]),
        lambda y: pd.Series(NAMES[y], index=range(1000, 1300)),
        lambda y: pd.Categorical(NAMES[y], categories=["dog", "cat", "bird"]),
        lambda y: torch.from_numpy(y),
        lambda y: y.astype(np.uint8),
        lambda y: [("a", int(k)) for k in y],
        lambda y: y + 0.5,
    ],
)
def test_labels_may_have_any_form(arrays: Arrays, form: Any) -> None:
    expected = found(arrays, pred_probs=arrays.pred_probs)
    table = found(arrays, form(arrays.labels), pred_probs=arrays.pred_probs)
    np.testing.assert_array_equal(table["score"], expected["score"])
    formed = form(arrays.labels)
    known = sorted(set(formed if isinstance(formed, list) else np.asarray(formed).tolist()))
    assert table.attrs["classes"] == known
    assert table["given"].tolist() == [known[k] for k in expected["given"]]


def test_columns_belong_to_the_classes_given(arrays: Arrays) -> None:
    expected = found(arrays, pred_probs=arrays.pred_probs)
    turned = found(arrays, NAMES[arrays.labels], pred_probs=arrays.pred_probs[:, ::-1], classes=["dog", "cat", "bird"])
    assert np.abs(scores(turned) - scores(expected)).mean() < 0.05
    with_another = np.concatenate([arrays.pred_probs, np.zeros((300, 1))], axis=1)
    four = found(arrays, pred_probs=with_another, classes=[0, 1, 2, 3])
    assert roc_auc_score(arrays.wrong, scores(four)) > 0.9
    assert np.shape(four.attrs["transition_matrix"]) == (4, 4)


@pytest.mark.parametrize("mask", [True, False])
def test_trusted_labels_count_as_correct_and_the_noise_rate_is_that_of_the_others(mask: bool) -> None:
    arrays = Arrays(600, seed=1)
    labels, trusted = arrays.labels.copy(), np.arange(0, 600, 4)
    labels[trusted] = arrays.true[trusted]
    some = np.isin(np.arange(600), trusted) if mask else trusted
    table = found(arrays, labels, pred_probs=arrays.pred_probs, trusted=some)
    verified = table[table["index"].isin(trusted)]
    assert (verified["score"] == 0).all()
    assert not verified["is_label_issue"].any()
    assert (verified["given"] == verified["suggested"]).all()
    assert table["index"].iloc[-len(trusted) :].isin(trusted).all()
    rest = np.setdiff1d(np.arange(600), trusted)
    assert roc_auc_score(arrays.wrong[rest], scores(table)[rest]) > 0.93
    assert table.attrs["noise_rate"] == pytest.approx(arrays.wrong[rest].mean(), abs=0.05)


def test_inputs_are_not_changed_and_the_seed_decides_the_result(arrays: Arrays) -> None:
    before = [part.copy() for part in (arrays.labels, arrays.pred_probs, arrays.features)]
    first, second = (found(arrays, features=arrays.features, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    for part, copy in zip((arrays.labels, arrays.pred_probs, arrays.features), before, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_memory_maps_give_the_same_scores_and_half_precision_similar_ones(arrays: Arrays, tmp_path: Path) -> None:
    expected = scores(found(arrays, pred_probs=arrays.pred_probs))
    np.save(tmp_path / "p.npy", arrays.pred_probs)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    np.testing.assert_array_equal(scores(found(arrays, pred_probs=mapped)), expected)
    half = scores(found(arrays, pred_probs=arrays.pred_probs.astype(np.float16)))
    assert np.abs(half - expected).mean() < 0.05


def test_many_features_are_classified_by_neighbours(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_sample, "LARGEST", 100)
    assert out_of_sample.cross_validated(arrays.features, arrays.labels, 3, 0) is None
    assert roc_auc_score(arrays.wrong, scores(found(arrays, features=arrays.features))) > 0.95


def test_cross_validation_does_not_use_an_examples_own_label() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((60, 40)), np.arange(60) % 2
    p = out_of_sample.cross_validated(features, labels, 2, 0)
    assert p is not None
    assert 0.2 < (p.argmax(1) == labels).mean() < 0.8  # random labels could be fitted perfectly
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)


def test_class_with_a_single_label_is_no_problem(arrays: Arrays) -> None:
    labels = arrays.labels.copy()
    labels[7] = 9
    table = found(arrays, labels, features=arrays.features)
    assert table.loc[table["index"] == 7, "score"].item() > 0.5


def test_progress_rises_to_one(arrays: Arrays) -> None:
    told: list[float] = []
    find_label_issues(arrays.labels, arrays.pred_probs, draws=40, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


VALID = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"labels": [0, 1, None, 1]}, UserError, r"labels\[2\] is missing"),
        ({"labels": [0.0, 1.0, float("nan"), 1.0]}, UserError, r"labels\[2\] is missing"),
        ({"labels": [0.0, 1.5, 1.0, 0.0]}, UserError, "labels has 3 different values among 4, such as 1.5, like the"),
        ({"labels": [0.0, float("inf"), 1.0, 0.0]}, UserError, "3 different values among 4, such as inf, like the"),
        ({"labels": [1, "1", 1, "1"]}, TypeError, "labels mixes the types number and str"),
        ({"labels": [True, 0, 1, 2]}, TypeError, "labels mixes the types bool and number"),
        ({"labels": [0, 0, 0, 0]}, UserError, "only the class 0"),
        ({"labels": []}, UserError, "labels is empty"),
        ({"labels": [1], "classes": [0, 1]}, UserError, "labels has 1 values"),
        ({"labels": "abab"}, TypeError, "labels is a str"),
        ({"labels": 3}, TypeError, "labels is a int"),
        ({"labels": np.eye(2)}, UserError, r"labels has shape \(2, 2\)"),
        ({"labels": [[0], [1], [0], [1]]}, TypeError, "not hashable"),
        ({"labels": [1j, 2j, 1j, 2j]}, TypeError, "labels of type complex, which have no order; pass classes"),
        ({"labels": [0, 1, 0]}, UserError, "pred_probs has 4 rows for 3 labels"),
        ({"labels": [0, 1, 0, 1, 0]}, UserError, "pred_probs has 4 rows for 5 labels"),
        ({"labels": [0, 1, 2, 1]}, UserError, r"pred_probs has 2 columns but labels have 3 classes \(0, 1, 2\)"),
        ({"labels": [0, 1, 2, 1], "classes": [0, 1]}, UserError, "labels contains 2, which is not in classes"),
        ({"classes": [0, 1, 2]}, UserError, "pred_probs has 2 columns but classes has 3"),
        ({"classes": [0, 1, 1]}, UserError, "classes contains 1 more than once"),
        ({"classes": "01"}, TypeError, "classes is a str"),
        ({"pred_probs": VALID * 1.2}, UserError, r"pred_probs\[0\] sums to 1.2"),
        ({"pred_probs": [[0.5, 0.5], [1.5, -0.5], [1, 0], [1, 0]]}, UserError, r"pred_probs\[1, 1\] is -0.5"),
        ({"pred_probs": [[0.5, 0.5], [np.nan, 0.5], [1, 0], [1, 0]]}, UserError, r"pred_probs\[1, 0\] is nan"),
        ({"pred_probs": np.full(4, 0.5)}, UserError, r"pred_probs has shape \(4,\)"),
        ({"pred_probs": [["a", "b"]] * 4}, TypeError, "pred_probs has dtype"),
        ({"pred_probs": None}, UserError, "pred_probs and features are both None"),
        ({"features": np.zeros(4)}, UserError, r"features has shape \(4,\)"),
        ({"features": np.zeros((4, 0))}, UserError, "features has no columns"),
        ({"features": np.zeros((3, 2))}, UserError, "features has 3 rows for 4 labels"),
        ({"features": [[0.0], [np.inf], [0.0], [0.0]]}, UserError, r"features\[1, 0\] is inf"),
        (
            {"features": pd.DataFrame({"age": [1.0] * 4, "pay": [1, 2, 1e300, 3]})},
            UserError,
            r"features\[2, 1\] \(column 'pay'\) is 1e\+300, which is too large for single precision",
        ),
        ({"features": [["a"]] * 4}, TypeError, "features has dtype"),
        ({"trusted": [4]}, UserError, r"trusted\[0\] is 4; positions of the 4 examples are 0 to 3"),
        ({"trusted": [0, -1]}, UserError, r"trusted\[1\] is -1"),
        ({"trusted": [2, 2]}, UserError, "trusted contains index 2 more than once"),
        ({"trusted": [0.0, 1.0]}, TypeError, "trusted has dtype float64"),
        ({"trusted": [True, False, True]}, UserError, "trusted is a mask of length 3 for 4 examples"),
        ({"trusted": [True] * 4}, UserError, "trusted contains every label"),
        ({"trusted": [[0, 1]]}, UserError, r"trusted has shape \(1, 2\)"),
        ({"neighbours": 0}, UserError, "neighbours is 0"),
        ({"draws": 0}, UserError, "draws is 0"),
        ({"draws": 39}, UserError, "draws is 39; expected a value >= 40, from which a 95% interval can be taken"),
    ],
)
def test_invalid_arrays_raise_one_sentence_with_the_remedy(given: dict, error: type, message: str) -> None:
    arguments = {"labels": [0, 1, 0, 1], "pred_probs": VALID} | given
    with pytest.raises(error, match=message) as raised:
        find_label_issues(**arguments)
    assert isinstance(raised.value, ValueError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("trusted", [None, [], np.zeros(4, dtype=bool)])
def test_few_labels_and_no_trusted_ones_are_enough(trusted: Any) -> None:
    table = vri_pyro.find_label_issues([0, 1, 0, 1], VALID, trusted=trusted, draws=40)
    assert len(table) == 4


@pytest.mark.filterwarnings(AT_CHANCE)
def test_columns_of_a_table_of_probabilities_are_matched_to_the_classes_by_name() -> None:
    generator = np.random.default_rng(0)
    labels = np.array(["b", "c", "a"])[generator.integers(3, size=90)]
    p = pd.DataFrame(generator.dirichlet([1, 1, 1], 90), columns=["a", "b", "c"])
    expected = find_label_issues(labels, p, draws=40, trusted=range(20))
    permuted = find_label_issues(labels, p[["c", "a", "b"]], draws=40, trusted=range(20))
    pd.testing.assert_frame_equal(permuted, expected)
    assert permuted.attrs == expected.attrs
    for names in (["A", "B", "C"], ["p_a", "p_b", "p_c"]):
        similar = p.set_axis(names, axis=1)[[names[2], names[0], names[1]]]
        pd.testing.assert_frame_equal(find_label_issues(labels, similar, draws=40, trusted=range(20)), expected)
    for names in (["p1", "p2", "p3"], range(3)):
        by_position = find_label_issues(labels, p.set_axis(names, axis=1), draws=40, trusted=range(20))
        pd.testing.assert_frame_equal(by_position, expected)
    with pytest.raises(UserError, match="pred_probs has the columns 'c', 'a', 'x' for the classes 'a', 'b', 'c'; name"):
        find_label_issues(labels, p.set_axis(["c", "a", "x"], axis=1))


@pytest.mark.filterwarnings(AT_CHANCE)
def test_columns_are_matched_to_classes_of_another_number_type() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=60).astype(float)  # as pandas writes integers of a column with gaps
    p = pd.DataFrame(generator.dirichlet([1, 1], 60), columns=[0, 1])
    expected = find_label_issues(labels, p, draws=40, trusted=range(20))
    for other in (p[[1, 0]], p.set_axis(["0.0", "1.0"], axis=1)[["1.0", "0.0"]]):
        pd.testing.assert_frame_equal(find_label_issues(labels, other, draws=40, trusted=range(20)), expected)


@pytest.mark.filterwarnings(AT_CHANCE)
def test_tables_of_numbers_of_any_type_are_features() -> None:
    generator = np.random.default_rng(0)
    x, labels = pd.DataFrame(generator.standard_normal((60, 3))), np.arange(60) % 3
    expected = find_label_issues(labels, features=x, draws=40, trusted=range(30))
    for dtype in ("Float64", "float64[pyarrow]"):
        found = find_label_issues(labels, features=x.astype(dtype), draws=40, trusted=range(30))
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": sparse.random(60, 4, format="csr")}, r"features is a sparse csr_matrix; .* with .toarray\(\)"),
        ({"features": pd.DataFrame({"size": [1.0] * 60, "city": ["x"] * 60})}, "column 'city' of features has dtype"),
        (
            {"features": pd.DataFrame({"size": pd.array([1.0, None] * 30)})},
            r"features\[1, 0\] \(column 'size'\) is NaN",
        ),
        ({"trusted": {1, 2}}, r"trusted is a set, which has no order; pass sorted\(trusted\)"),
        ({"labels": (np.arange(60) % 3)[:, None]}, r"labels has shape \(60, 1\); .* \(use .ravel\(\)\)"),
        ({"labels": np.eye(3)[np.arange(60) % 3]}, r"labels has shape \(60, 3\); .* \(use .argmax\(1\) for one-hot"),
    ],
)
def test_what_is_wrong_with_an_array_is_said_with_the_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises((UserError, UserTypeError), match=message):
        find_label_issues(**{"labels": np.arange(60) % 3, "features": np.ones((60, 2)), **options})


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "size"), [(3, 10), (40, 10), (60, 30)])
def test_interval_without_trusted_labels_contains_the_rate_with_few_labels_a_class(classes: int, size: int) -> None:
    generator = np.random.default_rng(1)
    true = np.arange(classes * size) % classes
    x = 3 * generator.standard_normal((classes, 30))[true] + generator.standard_normal((len(true), 30))
    given = np.where(generator.random(len(true)) < 0.2, generator.integers(classes, size=len(true)), true)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = find_label_issues(given, features=x, classes=list(range(classes)))
    low, high = table.attrs["noise_rate_interval"]
    # Almost all predictions are right here, so the share of those that differ is the rate, give or take a few.
    assert low <= (given != true).mean() <= high + 0.01
    assert high < 0.3
    warned = any("nothing tells which of the two are wrong" in str(warning.message) for warning in told)
    assert warned or table.attrs["noise_rate"] > 0.08

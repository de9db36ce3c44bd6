"""Tests of the study of the purposes of checks."""

from __future__ import annotations

from pathlib import Path

import check_purposes as study
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression


@pytest.fixture(scope="module")
def data() -> study.Data:
    return study.Data("digits", 0, Path())


def table(data: study.Data) -> pd.DataFrame:
    """The true classes as suggestions, but for examples whose label is right, and any scores."""
    scores = np.random.default_rng(0).random(len(data.x))
    return pd.DataFrame({"suggested": data.truth, "score": scores, "uncertainty": scores[::-1]})


def test_expected_gain_is_the_slope_of_the_trusted_likelihood_along_the_change_of_the_label(data: study.Data) -> None:
    judged = table(data)
    head = LogisticRegression(max_iter=200).fit(data.x, data.truth)
    weights = torch.tensor(np.c_[head.coef_, head.intercept_].T, requires_grad=True)
    inputs = torch.tensor(np.c_[data.x, np.ones(len(data.x))])

    def log_p(rows: np.ndarray) -> torch.Tensor:
        return (inputs[rows] @ weights).log_softmax(1)

    trusted = log_p(data.trusted)[np.arange(len(data.trusted)), data.truth[data.trusted]].sum()
    (slope,) = torch.autograd.grad(trusted, weights)
    found = study.expected_gain(data, judged)
    for row in np.flatnonzero(data.given != data.truth)[:5]:
        change = log_p(np.array([row]))[0]
        (step,) = torch.autograd.grad(change[data.truth[row]] - change[data.given[row]], weights)
        assert found[row] == pytest.approx(judged["score"][row] * float((slope * step).sum()), rel=1e-8)


def test_another_class_stands_in_for_a_suggestion_of_the_label_itself(data: study.Data) -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    np.testing.assert_array_equal(study.every_other(p, np.array([1, 0])), [2, 1])


@pytest.mark.parametrize("way", study.WAYS["teach"][:-1])
def test_labels_to_teach_are_ordered_once_each(data: study.Data, way: str) -> None:
    order = study.teaching_order(data, table(data), way)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(data.x)))


def test_answers_to_the_most_suspicious_labels_teach_the_network(
    data: study.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "ROUNDS", 1)
    before, after = study.teach(data, "score", 0)
    assert 50 < before < 100
    assert 50 < after < 100

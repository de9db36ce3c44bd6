"""Confident learning: cross-validation folds, and pruning with cleanlab."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
import torch
from infer.toys import INPUTS, Dense
from torch.optim import SGD

from vri_pyro.data import DeviceData
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods import ConfidentLearning
from vri_pyro.methods.base import Stage
from vri_pyro.methods.confident_learning import FoldDescent, PrunedDescent, fold_of, label_issues
from vri_pyro.utils.errors import UserError

sgd = partial(SGD, lr=0.1)
TRUE = np.arange(90) % 3
WRONG = np.array([3, 10, 44, 71])
GIVEN = np.where(np.isin(np.arange(90), WRONG), (TRUE + 1) % 3, TRUE)


def test_folds_are_stratified_and_depend_on_the_seed() -> None:
    folds = fold_of(GIVEN, 5, seed=0)
    sizes = np.array([[((folds == fold) & (label == GIVEN)).sum() for label in range(3)] for fold in range(5)])
    assert sizes.sum() == 90
    assert np.ptp(sizes.sum(1)) == 0
    assert (np.ptp(sizes, axis=0) <= 1).all()
    assert np.array_equal(folds, fold_of(GIVEN, 5, seed=0))
    assert not np.array_equal(folds, fold_of(GIVEN, 5, seed=1))


def test_labels_that_confident_probabilities_contradict_are_issues() -> None:
    probabilities = np.full((90, 3), 0.05) + 0.85 * np.eye(3)[TRUE]
    assert np.flatnonzero(label_issues(GIVEN, probabilities, "prune_by_noise_rate")).tolist() == WRONG.tolist()


def _stages(folds: int, classifier: Dense) -> tuple[list[FoldDescent], PrunedDescent]:
    method = ConfidentLearning(folds=folds)
    stages = method.stages("training", Stage(method, sgd, 1))
    assert list(stages) == [*(f"fold {n + 1}" for n in range(folds)), "training"]
    *first, last = (stage.method.build(classifier, sgd) for stage in stages.values())
    assert isinstance(last, PrunedDescent)
    return [fold for fold in first if isinstance(fold, FoldDescent)], last


def _examples(noisy: np.ndarray) -> DeviceData:
    x = np.zeros((100, INPUTS))
    y = np.zeros(100, dtype=np.int64)
    x[noisy, TRUE], y[noisy] = 5.0, GIVEN
    return DeviceData(x, y, "cpu", np.zeros(INPUTS), np.ones(INPUTS))


def _context(noisy: np.ndarray, classifier: Dense) -> TrainingContext:
    examples = _examples(noisy)
    return TrainingContext(
        classifier,
        lambda positions: [examples.batch(positions).x],
        examples.y,
        noisy=torch.from_numpy(noisy),
        clean=torch.arange(3),
        seed=0,
    )


def test_stages_hold_out_each_fold_once_and_prune_the_contradicted_labels() -> None:
    classifier = Dense()
    noisy = np.random.default_rng(1).permutation(np.arange(5, 100))[:90]  # positions in random order
    folds, last = _stages(3, classifier)
    examples = _examples(noisy)
    initial = {name: value.clone() for name, value in classifier.state_dict().items()}
    left_out = []
    for fold in folds:
        chosen = fold.begin_training(_context(noisy, classifier))
        torch.testing.assert_close(classifier.state_dict(), initial, rtol=0, atol=0)
        left_out.append(np.setdiff1d(noisy, chosen.numpy()))
        assert len(left_out[-1]) == 30
        for _ in range(60):
            fold.step(examples.batch(chosen), examples.batch(torch.arange(3)))
    assert sorted(np.concatenate(left_out)) == sorted(noisy)

    chosen = last.begin_training(_context(noisy, classifier))
    torch.testing.assert_close(classifier.state_dict(), initial, rtol=0, atol=0)
    assert np.setdiff1d(noisy, chosen.numpy()).tolist() == sorted(noisy[WRONG])
    batch = examples.batch(chosen)
    assert last.step(batch, batch)["kept"] == pytest.approx(86 / 90)


def test_probabilities_are_those_of_the_classifier_in_the_context() -> None:
    noisy, classifier, average = np.arange(5, 95), Dense(), Dense()
    (fold, _), _ = _stages(2, classifier)
    context = _context(noisy, average)
    fold.predict_held_out(context)
    batch = _examples(noisy).batch(noisy[fold.held_out(context)])
    with torch.no_grad():
        expected, other = (network(batch.x).logits.softmax(-1) for network in (average, classifier))
    torch.testing.assert_close(fold.probabilities, expected)
    assert not torch.allclose(expected, other)


def test_state_dict_has_the_probabilities_of_the_folds() -> None:
    noisy = np.arange(5, 95)
    folds, _ = _stages(2, Dense())
    assert folds[0].state_dict()["probabilities"] is None
    folds[0].predict_held_out(_context(noisy, Dense()))
    others, _ = _stages(2, Dense())
    others[0].load_state_dict(folds[0].state_dict())
    torch.testing.assert_close(others[0].probabilities, folds[0].probabilities, rtol=0, atol=0)


def test_too_few_folds_unbuilt_folds_and_missing_cleanlab_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="folds is 1; expected a value >= 2"):
        ConfidentLearning(folds=1)
    with pytest.raises(UserError, match="build the methods of its stages"):
        ConfidentLearning().build(Dense(), sgd)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(UserError, match=r"pip install 'vri-pyro\[cleanlab\]'"):
        label_issues(GIVEN, np.eye(3)[TRUE], "both")

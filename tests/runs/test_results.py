"""The reported accuracies, the choice of their epochs, and evaluation."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import DeviceData, Digits, Split, mean_and_std
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.runs.results import results
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.evaluation import evaluate
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError


def test_without_a_test_set_the_accuracy_is_that_on_the_validation_set() -> None:
    rows = [{"validation_accuracy": accuracy} for accuracy in (50.0, 80.0, 70.0)]
    expected = {"measured_on": "validation", "last": 70.0, "chosen": None, "chosen_epoch": 1}
    assert {name: results(rows)[name] for name in expected} == expected


def _rows(test: list[float], validation: list[float] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"test_accuracy": accuracy} for accuracy in test]
    for row, accuracy in zip(rows, validation or [], strict=False):
        row["validation_accuracy"] = accuracy
    return rows


def test_last_is_the_last_epochs_and_last_10_the_mean_of_ten() -> None:
    found = results(_rows([99.0, *range(50, 60)]))
    assert found["last"] == 59
    assert found["last_10"] == pytest.approx(54.5)


def test_mean_of_a_short_run_is_over_all_epochs() -> None:
    assert results(_rows([10.0, 20.0]))["last_10"] == 15.0


def test_chosen_epoch_is_the_best_on_validation_even_if_worst_on_test() -> None:
    found = results(_rows([90.0, 10.0, 80.0], validation=[50.0, 70.0, 60.0]))
    assert (found["chosen"], found["chosen_epoch"]) == (10.0, 1)


def test_last_of_equally_good_epochs_is_chosen() -> None:
    assert results(_rows([1.0, 2.0, 3.0, 4.0], validation=[50.0, 60.0, 60.0, 40.0]))["chosen_epoch"] == 2


def test_nothing_is_chosen_without_validation() -> None:
    found = results(_rows([90.0, 10.0]))
    assert found["chosen"] is None
    assert found["chosen_epoch"] is None


def test_epochs_of_preparatory_stages_are_ignored_once_another_stage_has_begun() -> None:
    rows = _rows([90.0, 10.0, 80.0], validation=[99.0, 70.0, 60.0])
    for row, stage in zip(rows, ("fold 1", "training", "training"), strict=True):
        row["stage"] = stage
    found = results(rows, ["fold 1"])
    assert (found["chosen"], found["chosen_epoch"], found["last_10"]) == (10.0, 1, 45.0)
    assert results(rows[:1], ["fold 1"])["chosen_epoch"] == 0


def test_epochs_without_an_evaluation_are_ignored() -> None:
    rows = [{"loss": 1.0} for _ in range(12)]
    for epoch, test, validation in ((1, 90.0, 99.0), (6, 50.0, 40.0), (11, 60.0, 30.0)):
        rows[epoch] |= {"test_accuracy": test, "validation_accuracy": validation}
    assert results(rows) == {"measured_on": "test", "last": 60.0, "last_10": 55.0, "chosen": 90.0, "chosen_epoch": 1}
    with pytest.raises(UserError, match="no epoch of this run has been evaluated yet"):
        results(rows[:1])


def test_every_other_epoch_and_the_last_are_evaluated(run: Callable[..., dict[str, Any]], folder: Path) -> None:
    every, some = run(epochs=5), run(epochs=5, evaluate_every=2, output=folder / "some")
    rows = RunFolder(folder / "some").read_metrics()
    assert [row["epoch"] for row in rows if "test_accuracy" in row] == [1, 3, 4]
    assert [row["epoch"] for row in rows if "validation_accuracy" in row] == [1, 3, 4]
    assert len([row for row in rows if "loss" in row]) == 5
    assert some["results"]["last"] == every["results"]["last"]  # evaluation does not change training
    best = load_checkpoint(folder / "some" / "checkpoints" / "best.pt")
    assert best["epoch"] == some["results"]["chosen_epoch"]


def test_best_checkpoint_is_the_classifier_of_the_chosen_epoch(
    run: Callable[..., dict[str, Any]], folder: Path
) -> None:
    summary = run(epochs=6)
    best = load_checkpoint(folder / "checkpoints" / "best.pt")
    assert best["epoch"] == summary["results"]["chosen_epoch"]

    arrays, split = Digits().load(), Split.load(folder / "split.npz")
    classifier = MLP(arrays.input_shape, arrays.num_classes, hidden=(8,))
    classifier.load_state_dict(best["classifier"])
    data = DeviceData(arrays.x_train, arrays.y_train, "cpu", *mean_and_std(arrays.x_train))
    found = evaluate(classifier, data, split.validation_indices)
    with open(folder / "metrics.csv", newline="") as file:
        row = list(csv.DictReader(file))[best["epoch"]]
    assert found == {"accuracy": float(row["validation_accuracy"]), "nll": float(row["validation_nll"])}


@pytest.fixture
def digits() -> DeviceData:
    arrays = Digits().load()
    return DeviceData(arrays.x_test, arrays.y_test, "cpu", *mean_and_std(arrays.x_train))


@pytest.fixture
def classifier() -> MLP:
    return MLP((1, 8, 8), 10, hidden=(8,), dropout=0.5)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_evaluation_equals_a_plain_computation(digits: DeviceData, classifier: MLP, batch_size: int) -> None:
    found = evaluate(classifier, digits, batch_size=batch_size)
    classifier.eval()
    x, y, *_ = digits.batch(torch.arange(len(digits)))
    log_p = classifier(x).logits.double().log_softmax(-1)
    assert found["accuracy"] == pytest.approx(100 * (log_p.argmax(-1) == y).double().mean().item(), abs=1e-12)
    assert found["nll"] == pytest.approx(-log_p.gather(1, y[:, None]).mean().item(), rel=1e-6)


def test_evaluation_of_some_examples_ignores_the_others(digits: DeviceData, classifier: MLP) -> None:
    one = torch.tensor([3])
    classifier.eval()
    x, y, *_ = digits.batch(one)
    expected = -classifier(x).logits.log_softmax(-1)[0, y[0]].item()
    assert evaluate(classifier, digits, one.numpy())["nll"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_preserves_mode_gradients_and_random_state(
    digits: DeviceData, classifier: MLP, training: bool
) -> None:
    classifier.train(training)
    state = torch.get_rng_state()
    evaluate(classifier, digits)
    assert classifier.training is training
    assert all(p.grad is None for p in classifier.parameters())
    assert torch.equal(torch.get_rng_state(), state)


class _Overflowing(Classifier):
    num_classes = 10

    def forward(self, x: torch.Tensor) -> ClassifierOutput:
        return ClassifierOutput(torch.full((len(x), 10), torch.nan), x.flatten(1))


def test_evaluation_of_nan_logits_returns_nan(digits: DeviceData) -> None:
    assert math.isnan(evaluate(_Overflowing(), digits)["nll"])

"""The predictor of a run reproduces the accuracies of the run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.cli.main import main
from vri_pyro.data import Digits
from vri_pyro.runs.predictor import Predictor
from vri_pyro.utils.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["fit", "--epochs", "4", "--threads", "1", "--quiet", "true", "--output", str(folder)]) == 0
    return folder


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def accuracy(run: Path, which: str) -> float:
    arrays = Digits().load()
    probabilities = Predictor(run, which).predict(arrays.x_test, batch_size=100)  # type: ignore[arg-type]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    return 100 * float((probabilities.argmax(1) == arrays.y_test).mean())


def test_last_classifier_has_the_last_epochs_accuracy(run: Path) -> None:
    assert accuracy(run, "last") == pytest.approx(float(rows(run)[-1]["test_accuracy"]))


def test_best_classifier_has_the_accuracy_of_the_epoch_chosen_on_validation(run: Path) -> None:
    own = [row for row in rows(run) if row["stage"] == "training"]  # without the estimation stage
    best = max(reversed(own), key=lambda row: float(row["validation_accuracy"]))  # ties go to the last epoch
    assert accuracy(run, "best") == pytest.approx(float(best["test_accuracy"]))


def test_predictor_crops_images_as_the_run_does(tmp_path: Path) -> None:
    crop = ("--augmentation", "RandomCrop", "--augmentation.size", "6", "--clean_augmentation", "RandomCrop")
    options = (*crop, "--clean_augmentation.size", "6", "--backbone", "MLP", "--epochs", "2", "--threads", "1")
    assert main(["fit", *options, "--quiet", "true", "--output", str(tmp_path / "run")]) == 0
    assert accuracy(tmp_path / "run", "last") == pytest.approx(float(rows(tmp_path / "run")[-1]["test_accuracy"]))


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("averaged") / "run"
    options = ("--ema", "0.95", "--networks", "2", "--backbone", "MLP", "--epochs", "4", "--threads", "1")
    assert main(["fit", *options, "--quiet", "true", "--output", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("which", ["last", "best"])
def test_averaged_ensemble_has_the_accuracy_of_the_run(averaged: Path, which: str) -> None:
    found = rows(averaged)
    row = found[-1] if which == "last" else max(found, key=lambda row: float(row["validation_accuracy"]))
    assert accuracy(averaged, which) == pytest.approx(float(row["test_accuracy"]))


def test_grey_images_need_no_channel_dimension(run: Path) -> None:
    images = Digits().load().x_test[:3]
    trained = Predictor(run)
    assert trained.classes[7] == "7"
    np.testing.assert_array_equal(trained.predict(images[..., 0]), trained.predict(images))


def test_other_shapes_and_other_folders_raise(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trained on uint8 inputs of shape \[1, 8, 8\]"):
        Predictor(run).predict(np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(UserError, match="float32 inputs of shape"):
        Predictor(run).predict(np.zeros((2, 8, 8), np.float32))
    with pytest.raises(UserError, match="expected 'last' or 'best'"):
        Predictor(run, "worst")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not a run folder"):
        Predictor(tmp_path)

"""``vri-pyro data``: the data of a run with the options of ``vri-pyro fit``."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import Digits, Flip, Split, make_split
from vri_pyro.runs.predictor import Predictor
from vri_pyro.training.trainer import Trainer

from .conftest import Command


def test_sizes_noise_and_picture_are_those_of_the_run(vri_pyro: Command, here: Path) -> None:
    options = ("--config", "tiny.yaml", "--noise", "Flip", "--noise.rate", "0.3", "--seed", "4")
    shown = vri_pyro("data", *options)
    assert shown.status == 0, shown.stderr
    split = make_split(Digits().load(), Flip(0.3), 3, 3, None, 4)
    assert f"{split.realised_rate:.2%}" in shown.stdout
    assert f"{len(split.noisy_indices)}" in shown.stdout
    assert "Flip(rate=0.3)" in shown.stdout
    with Image.open(here / "data.png") as picture:
        assert picture.size == (1600, 1600)
        assert len(np.unique(np.asarray(picture).reshape(-1, picture.size[0]))) > 10
    assert not (here / "run").exists()


def test_a_runs_own_configuration_shows_the_same_labels(vri_pyro: Command, here: Path) -> None:
    assert vri_pyro("fit", "--config", "tiny.yaml", "--quiet", "true").status == 0
    shown = vri_pyro("data", "--config", "run/config.yaml", "--picture", "pictures/digits.png")
    assert shown.status == 0, shown.stderr
    assert (here / "pictures" / "digits.png").is_file()
    split = Split.load(here / "run" / "split.npz")
    for label, count in enumerate(np.bincount(split.given_labels)):
        assert re.search(rf"│ {label} +│ +{count} │", shown.stdout)


def test_vectors_have_matrices_but_no_images(vri_pyro: Command, here: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(99, 4)).astype(np.float32), np.arange(99) % 3
    np.savez(here / "vectors.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
    shown = vri_pyro(
        "data", "--data", "NpzFile", "--data.path", "vectors.npz", "--data.verified", "true", "--picture", "vectors.png"
    )
    assert shown.status == 0, shown.stderr
    with Image.open(here / "vectors.png") as picture:
        assert picture.size == (1600, 600)


def test_vectors_of_unknown_truth_have_no_picture(vri_pyro: Command, here: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32), np.arange(90) % 3
    np.savez(here / "vectors.npz", x_train=x, y_train=y, clean_indices=np.arange(30))
    shown = vri_pyro("data", "--data", "NpzFile", "--data.path", "vectors.npz")
    assert (shown.status, shown.stderr) == (0, "")
    assert "picture: none, since the inputs are vectors and no true labels are known" in shown.stdout
    assert not (here / "data.png").exists()


def test_labels_of_unknown_truth_are_shown_without_a_matrix(vri_pyro: Command, here: Path) -> None:
    x, y = np.zeros((90, 6, 6), dtype=np.uint8), np.arange(90) % 3
    np.savez(here / "own.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9], clean_indices=np.arange(30))
    shown = vri_pyro(
        *("data", "--data", "NpzFile", "--data.path", "own.npz", "--noise", "NoNoise"),
        *("--split.clean_per_class", "null", "--picture", "own.png"),
    )
    assert shown.status == 0, shown.stderr
    assert "unknown" in shown.stdout
    with Image.open(here / "own.png") as picture:
        assert picture.size == (1600, 1000)


def _folder(here: Path, damaged: bool) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("noisy", 6), ("clean", 3), ("test", 2)):
        for label in ("cat", "dog"):
            place = here / "images" / part / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (20, 24, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.jpg")
    if damaged:
        file = here / "images" / "noisy" / "dog" / "4.jpg"
        file.write_bytes(file.read_bytes()[:200])


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [("data.xyz", "picture is data.xyz; expected one of the suffixes"), ("tiny.yaml/data.png", "cannot write")],
)
def test_pictures_that_cannot_be_written_are_reported(
    vri_pyro: Command, here: Path, picture: str, complaint: str
) -> None:
    shown = vri_pyro("data", "--config", "tiny.yaml", "--picture", picture)
    assert shown.status == 2
    assert complaint in shown.stderr


FOLDER = ("--data", "ImageFolder", "--data.path", "images", "--data.size", "16", "--noise", "NoNoise")


@pytest.mark.parametrize("damaged", [False, True])
def test_check_names_the_damaged_images(vri_pyro: Command, here: Path, damaged: bool) -> None:
    _folder(here, damaged)
    sizes = ("--split.clean_per_class", "2", "--split.validation_per_class", "1")
    shown = vri_pyro("data", *FOLDER, *sizes, "--check", "true")
    assert shown.status == (2 if damaged else 0), shown.stderr
    assert ("1 of 18 training images are unusable" in shown.stderr) == damaged
    assert ("4.jpg" in shown.stderr) == damaged


def test_a_run_on_images_from_disk_is_the_same_with_any_number_of_workers(vri_pyro: Command, here: Path) -> None:
    _folder(here, damaged=False)
    sizes = ("--split.clean_per_class", "2", "--split.validation_per_class", "1", "--batch_size", "4")
    common = ("fit", "--config", "tiny.yaml", *FOLDER, *sizes, "--augmentation", "Weak", "--quiet", "true")
    for folder, workers in (("none", "0"), ("two", "2")):
        done = vri_pyro(*common, "--epochs", "2", "--workers", workers, "--output", folder)
        assert done.status == 0, done.stderr
    assert (here / "none" / "metrics.csv").read_text() == (here / "two" / "metrics.csv").read_text()


def test_a_run_on_images_from_disk_resumes_in_mid_epoch_with_the_same_results(
    vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder(here, damaged=False)
    sizes = ("--split.clean_per_class", "2", "--split.validation_per_class", "1", "--batch_size", "4")
    common = ("fit", "--config", "tiny.yaml", *FOLDER, *sizes, "--augmentation", "Strong", "--quiet", "true")
    assert vri_pyro(*common, "--epochs", "2", "--workers", "0", "--output", "whole").status == 0
    step, taken = Trainer._step, []

    def stopping(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        taken.append(1)
        if len(taken) == 4:  # the first of the three steps of the second epoch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_step", stopping)
    assert vri_pyro(*common, "--epochs", "2", "--workers", "2", "--output", "stopped").status == 130
    assert len(taken) == 4
    again = vri_pyro(*common, "--epochs", "2", "--workers", "1", "--output", "stopped", "--resume", "true")
    assert again.status == 0, again.stderr
    assert (here / "stopped" / "metrics.csv").read_text() == (here / "whole" / "metrics.csv").read_text()


def test_augmentation_that_the_inputs_do_not_allow_is_refused_before_a_folder_is_made(
    vri_pyro: Command, here: Path
) -> None:
    x, y = np.random.default_rng(0).random((99, 8, 8), dtype=np.float32), np.arange(99) % 3
    np.savez(here / "float.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
    own = ("--data", "NpzFile", "--data.path", "float.npz", "--data.verified", "true", "--augmentation", "Strong")
    done = vri_pyro("fit", "--config", "tiny.yaml", *own)
    assert done.status == 2
    assert "expected uint8 images" in done.stderr
    assert not (here / "run").exists()


def test_a_run_that_crops_is_given_whole_images_as_they_are_stored(vri_pyro: Command, here: Path) -> None:
    crop = ("--augmentation", "RandomCrop", "--augmentation.size", "6")
    clean = ("--clean_augmentation", "RandomCrop", "--clean_augmentation.size", "6")
    assert vri_pyro("fit", "--config", "tiny.yaml", "--quiet", "true", *crop, *clean).status == 0
    assert json.loads((here / "run" / "inputs.json").read_text())["shape"] == [1, 8, 8]
    assert Predictor(here / "run").predict(np.zeros((2, 8, 8), np.uint8)).shape == (2, 10)

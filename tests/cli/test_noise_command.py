"""``vri-pyro noise``: files with noisy labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.data import Digits, Flip, generator_for

from .conftest import Command


def test_labels_matrix_and_list_are_those_of_the_recipe(vri_pyro: Command, here: Path) -> None:
    done = vri_pyro("noise", "--noise", "Flip", "--noise.rate", "0.4", "--seed", "3", "--output", "out/labels.npz")
    assert done.status == 0, done.stderr
    arrays = Digits().load()
    expected = Flip(0.4).apply(arrays.y_train, arrays.x_train, 10, generator_for(3, "noise"))
    with np.load(here / "out" / "labels.npz") as written:
        np.testing.assert_array_equal(written["given_labels"], expected.labels)
        np.testing.assert_array_equal(written["true_labels"], arrays.y_train)
        np.testing.assert_array_equal(written["transition"], expected.transition)
        assert written["noise"].item() == "Flip(rate=0.4)"
    assert f"{expected.rate:.2%} of them wrong" in done.stdout
    with (here / "out" / "labels.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["given"]) for row in rows] == expected.labels.tolist()
    assert sum(int(row["wrong"]) for row in rows) == expected.flipped.sum()


def test_replaced_images_are_written_too(vri_pyro: Command, here: Path) -> None:
    np.savez(here / "other.npz", x_train=np.full((30, 8, 8), 7, dtype=np.uint8))
    done = vri_pyro("noise", "--noise", "OpenSet", "--noise.images", "other.npz", "--noise.rate", "0.1")
    assert done.status == 0, done.stderr
    with np.load(here / "noisy_labels.npz") as written:
        assert len(written["replaced_indices"]) == 140
        assert (written["replaced_images"] == 7).all()
        assert (written["true_labels"][written["replaced_indices"]] == -1).all()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--noise Flip --noise.rate 2", "Flip got rate 2.0; expected a probability from 0 to 1."),
        (
            "--noise Flip --noise.rate 0.2 --output labels.csv",
            "output is labels.csv; expected the name of an .npz file",
        ),
        ("--noise OpenSet", "--noise: options without a default are missing; set --noise.images"),
        ("--noise NoNoise --epochs 3", "unrecognised arguments: --epochs 3; `vri-pyro noise --help` lists the options"),
    ],
)
def test_bad_options_are_named(vri_pyro: Command, options: str, complaint: str) -> None:
    done = vri_pyro("noise", *options.split())
    assert done.status == 2
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr


def test_data_with_noisy_labels_are_refused(vri_pyro: Command, here: Path) -> None:
    x, y = np.zeros((30, 4), dtype=np.float32), np.arange(30) % 3
    np.savez(here / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y, y_train_clean=y)
    done = vri_pyro(
        "noise",
        "--data",
        "NpzFile",
        "--data.path",
        "own.npz",
        "--data.verified",
        "true",
        "--noise",
        "PairFlip",
        "--noise.rate",
        "0.1",
    )
    assert done.status == 2
    assert "the data set has noisy labels of its own" in done.stderr


def test_help_lists_noises_and_sources_with_a_line_each(vri_pyro: Command) -> None:
    shown = vri_pyro("noise", "--help").stdout
    for name in ("UniformInclusive", "InstanceDependent", "OpenSet", "Digits", "Clothing1M"):
        assert any(line.strip().startswith(name) and len(line.split()) > 3 for line in shown.splitlines())


@pytest.mark.filterwarnings("default::UserWarning")  # the command prints the warning
def test_unverified_labels_are_warned_about(vri_pyro: Command, here: Path) -> None:
    labels = np.arange(40) % 2
    np.savez(here / "own.npz", x_train=np.eye(40), y_train=labels, x_test=np.eye(40), y_test=labels)
    own = ("--data", "NpzFile", "--data.path", "own.npz", "--data.verified", "false", "--noise", "Flip")
    done = vri_pyro("noise", *own)
    assert done.status == 0
    assert "is injected into unverified labels" in done.stderr

"""``vri-pyro embed`` writes features that the other commands use as data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.data import Digits, FeatureFolder, StoredVectors
from vri_pyro.training.run_folder import RunFolder

from .conftest import Command

pytestmark = pytest.mark.filterwarnings("ignore:.* has random weights, so its features say little:UserWarning")

OWN = """\
from math import prod
import torch
from torch import nn
from vri_pyro import Classifier, ClassifierOutput


class Pixels(Classifier):
    def __init__(self, input_shape: tuple[int, ...], num_classes: int, offset: float = 0.0):
        super().__init__()
        self.feature_dim, self.num_classes, self.offset = prod(input_shape), num_classes, offset
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, x):
        features = x.flatten(1) + self.offset
        return ClassifierOutput(self.head(features), features)
"""
EMBED = ("embed", "--data", "Digits", "--backbone", "own.Pixels", "--output", "features", "--dtype", "float32")


@pytest.fixture(autouse=True)
def _own_network(here: Path) -> None:
    (here / "own.py").write_text(OWN)


def test_features_of_an_own_network_are_written_and_the_command_can_be_repeated(vri_pyro: Command, here: Path) -> None:
    for _ in range(2):
        done = vri_pyro(*EMBED, "--rows_per_file", "400", "--threads", "1", "--device", "cpu")
        assert done.status == 0, done.stderr
        assert done.stdout.splitlines() == [
            "1797 examples, 64 features each, float32",
            f"features: {here / 'features'}",
        ]
    digits, found = Digits().load(), FeatureFolder("features").load()
    assert isinstance(found.x_train, StoredVectors)
    np.testing.assert_array_equal(found.x_train[:], digits.x_train[:].reshape(-1, 64) / np.float32(255))
    description = json.loads((here / "features" / "features.json").read_text())
    assert description["made_from"]["backbone"] == {"class_path": "own.Pixels", "init_args": {"offset": 0.0}}
    assert description["made_from"]["data"]["class_path"] == "vri_pyro.data.Digits"


def test_missing_and_foreign_options_are_named_as_they_are_typed(vri_pyro: Command) -> None:
    assert "options without a default are missing; set --data, --backbone, --output" in vri_pyro("embed").stderr
    done = vri_pyro(*EMBED, "--hypergradient", "SplitJVP")
    assert done.status == 2
    assert "unrecognised arguments: --hypergradient SplitJVP" in done.stderr
    assert "method" not in done.stderr


def test_another_network_other_data_or_other_options_are_refused_by_name(vri_pyro: Command) -> None:
    assert vri_pyro(*EMBED).status == 0
    for changed, told in [
        (["--backbone.offset", "1"], "backbone.init_args.offset is 1.0 instead of 0.0"),
        (["--rows_per_file", "7"], "rows_per_file is 7 instead of 8192"),
        (["--backbone", "SmallCNN"], "backbone.class_path is vri_pyro.backbones.SmallCNN instead of own.Pixels"),
    ]:
        done = vri_pyro(*EMBED, *changed)
        assert done.status == 2
        assert done.stderr.startswith("error: features has features that were extracted differently: ")
        assert told in done.stderr


def test_data_that_have_moved_are_the_same_data(vri_pyro: Command, here: Path) -> None:
    digits = Digits().load()
    np.savez(here / "a.npz", x_train=digits.x_train[:50], y_train=digits.y_train[:50])
    options = ("--data.verified", "true", "--backbone", "own.Pixels", "--output", "f")
    assert vri_pyro("embed", "--data", "NpzFile", "--data.path", "a.npz", *options).status == 0
    (here / "a.npz").rename(here / "b.npz")
    assert vri_pyro("embed", "--data", "NpzFile", "--data.path", "b.npz", *options).status == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--backbone", "own.Nothing"], "module 'own' has no class 'Nothing'"),
        (["--batch_size", "0"], "batch_size is 0; expected a value >= 1"),
        (["--threads", "-1"], "threads is -1; expected a value >= 0"),
        (["--dtype", "int8"], "dtype"),
        (["--output", "own.py"], "own.py"),
    ],
)
def test_an_invalid_option_is_one_sentence(vri_pyro: Command, options: list[str], told: str) -> None:
    done = vri_pyro(*EMBED, *options)
    assert done.status == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_code_named_by_a_configuration_file_needs_trust(vri_pyro: Command, here: Path) -> None:
    (here / "embed.yaml").write_text("data: Digits\nbackbone: {class_path: own.Pixels}\noutput: features\n")
    done = vri_pyro("embed", "--config", "embed.yaml")
    assert done.status == 2
    assert "own.Pixels" in done.stderr
    assert "--trust true" in done.stderr
    assert vri_pyro("embed", "--config", "embed.yaml", "--trust", "true").status == 0


def test_a_run_on_features_from_disk_is_the_run_on_the_same_array_in_memory(vri_pyro: Command, here: Path) -> None:
    """Every metric of every epoch is equal, with noise that depends on the features."""
    assert vri_pyro(*EMBED, "--rows_per_file", "300").status == 0
    digits = Digits().load()
    x = {name: getattr(digits, name)[:].reshape(-1, 64) / np.float32(255) for name in ("x_train", "x_test")}
    np.savez(here / "whole.npz", **x, y_train=digits.y_train, y_test=digits.y_test, classes=np.array(digits.classes))
    noise = ("--noise", "InstanceDependent", "--noise.rate", "0.4", "--config", "tiny.yaml", "--epochs", "2")
    for data, output in [
        (["FeatureFolder", "--data.path", "features"], "disk"),
        (["NpzFile", "--data.path", "whole.npz", "--data.verified", "true"], "memory"),
    ]:
        done = vri_pyro("fit", *noise, "--data", *data, "--output", output, "--quiet", "true")
        assert done.status == 0, done.stderr
    on_disk, in_memory = ((here / run / "metrics.csv").read_text() for run in ("disk", "memory"))
    assert on_disk == in_memory
    assert RunFolder("disk").read_inputs() == RunFolder("memory").read_inputs()


@pytest.mark.filterwarnings("ignore")
def test_every_command_works_on_features(vri_pyro: Command, here: Path) -> None:
    assert vri_pyro(*EMBED).status == 0
    data = ("--config", "tiny.yaml", "--data", "FeatureFolder", "--data.path", "features")
    assert vri_pyro("data", *data, "--picture", "data.png").status == 0
    assert vri_pyro("noise", "--data", "FeatureFolder", "--data.path", "features").status == 0
    assert vri_pyro("fit", *data, "--quiet", "true").status == 0
    for command in (
        ["report", "run"],
        ["issues", "run"],
        ["diagnose", "run", "--examples", "20"],
        ["predict", "run", "features"],
        ["export", "run", "--format", "torch", "--output", "exported"],
    ):
        done = vri_pyro(*command)
        assert done.status == 0, (command, done.stderr)
    rows = list(csv.DictReader((here / "predictions.csv").read_text().splitlines()))
    assert len(rows) == len(Digits().load().y_test)
    again = vri_pyro("fit", *data, "--quiet", "true", "--epochs", "1", "--resume", "true")
    assert again.status == 0, again.stderr


def test_features_that_have_changed_since_a_run_began_are_noticed(vri_pyro: Command, here: Path) -> None:
    assert vri_pyro(*EMBED).status == 0
    data = ("--config", "tiny.yaml", "--data", "FeatureFolder", "--data.path", "features", "--quiet", "true")
    assert vri_pyro("fit", *data).status == 0
    shard = here / "features" / "features-train-00000.npy"
    changed = np.load(shard)
    changed[3] += 1
    np.save(shard, changed)
    done = vri_pyro("issues", "run")
    assert done.status == 2
    assert "1 of 1400 training inputs differ (example 3)" in done.stderr

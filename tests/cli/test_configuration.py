"""Configurations: printing, writing and reading them, the shipped files, and user-defined classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import vri_pyro as package

from .conftest import FINE_TUNING, Command

# Configurations of networks and of data sets of photographs have tests of their own, in tests/runs.
CONFIGS = [
    path
    for path in sorted((Path(__file__).parents[2] / "experiments" / "configs").glob("*.yaml"))
    if "backbone" not in yaml.safe_load(path.read_text())
]
SMALL = ("--epochs", "1", "--split.noisy_size", "200", "--threads", "1", "--device", "cpu", "--quiet", "true")


def test_printed_configuration_is_a_fixed_point(vri_pyro: Command, here: Path) -> None:
    printed = vri_pyro("fit", "--config", "tiny.yaml", "--noise", "Flip", "--noise.rate", "0.25", "--print_config")
    assert printed.status == 0
    assert yaml.safe_load(printed.stdout)["noise"]["init_args"] == {"rate": 0.25}
    (here / "printed.yaml").write_text(printed.stdout)
    assert vri_pyro("fit", "--config", "printed.yaml", "--print_config").stdout == printed.stdout


def test_configuration_of_a_run_starts_the_identical_run(vri_pyro: Command, here: Path) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text() + FINE_TUNING)
    assert (
        vri_pyro("fit", "--config", "tiny.yaml", "--seed", "3", "--noise", "Flip", "--noise.rate", "0.25").status == 0
    )
    assert vri_pyro("fit", "--config", "run/config.yaml", "--output", "again").status == 0
    assert (here / "again" / "metrics.csv").read_bytes() == (here / "run" / "metrics.csv").read_bytes()
    written = [yaml.safe_load((here / run / "config.yaml").read_text()) for run in ("run", "again")]
    assert written[0] | {"output": str(here / "again")} == written[1]


def test_later_files_and_options_win(vri_pyro: Command, here: Path) -> None:
    (here / "second.yaml").write_text("seed: 7\nepochs: 5\n")
    printed = vri_pyro("fit", "--config", "tiny.yaml", "--config", "second.yaml", "--epochs", "9", "--print_config")
    found = yaml.safe_load(printed.stdout)
    assert (found["seed"], found["epochs"], found["threads"]) == (7, 9, 1)


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_configuration_that_ships_runs_on_the_digits(vri_pyro: Command, here: Path, config: Path) -> None:
    fine_tuning = ("--fine_tuning.epochs", "1") if "fine_tuning" in config.read_text() else ()
    digits = ("--data", "vri_pyro.data.Digits", "--split.validation_per_class", "3")
    clean = _without_clean_set(config) or ("--split.clean_per_class", "3")
    result = vri_pyro("fit", "--config", str(config), *SMALL, *digits, *clean, *fine_tuning, "--output", "shipped")
    assert result.status == 0, result.stderr
    assert json.loads((here / "shipped" / "summary.json").read_text())["results"]["last"] > 0


def _without_clean_set(config: Path) -> tuple[str, ...]:
    """Options that shrink a configuration with a selection instead of a clean set; empty for other configurations."""
    selection = yaml.safe_load(config.read_text()).get("selection")
    if selection is None:
        return ()
    size = ("--selection.size", "100") if "size" in selection["init_args"] else ()
    return ("--warm_up.epochs", "1", *size)


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
def test_training_options_work_with_methods_of_every_kind(vri_pyro: Command, here: Path) -> None:
    options = ("--ema", "0.9", "--networks", "2", "--clean_mixup.every", "1", "--schedule", "CyclicCosine")
    for name in ("vri", "mw_net", "cross_entropy", "clean_only"):
        config = next(path for path in CONFIGS if path.stem == name)
        result = vri_pyro("fit", "--config", str(config), *SMALL, *options, "--output", name)
        assert result.status == 0, result.stderr
        assert "clean_mixup_loss" in (here / name / "metrics.csv").read_text()


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
def test_learning_without_clean_labels_takes_the_method_of_another_configuration(vri_pyro: Command, here: Path) -> None:
    method, without = (next(path for path in CONFIGS if path.stem == stem) for stem in ("mw_net", "vri_no_clean_plus"))
    files = ("--config", str(method), "--config", str(without))
    result = vri_pyro("fit", *files, *SMALL, *_without_clean_set(without), "--output", "stacked")
    assert result.status == 0, result.stderr
    config = yaml.safe_load((here / "stacked" / "config.yaml").read_text())
    assert config["method"]["init_args"]["guide"]["class_path"].endswith("ScalarWeight")
    assert json.loads((here / "stacked" / "summary.json").read_text())["split"]["clean"] == 0


def test_default_options_are_those_of_vri_yaml(vri_pyro: Command) -> None:
    (config,) = (path for path in CONFIGS if path.stem == "vri")
    plain, named = (vri_pyro("fit", *files, "--print_config") for files in ((), ("--config", str(config))))
    assert plain.status == named.status == 0
    assert yaml.safe_load(plain.stdout) == yaml.safe_load(named.stdout)


def test_configurations_that_ship_are_found() -> None:
    assert {"vri", "vri_paper", "vri_released", "cross_entropy"} <= {path.stem for path in CONFIGS}


SWAPS = [
    *(f"--method.model.prior vri_pyro.models.{prior}" for prior in ("StandardNormal", "LearnedNormal", "VampPrior")),
    *(f"--method.model.prior vri_pyro.models.{prior}" for prior in ("MaskedGuide", "MixtureOfNormals")),
    *(f"--method.guide vri_pyro.guides.{guide}" for guide in ("LowRankNormal", "NormalisingFlow", "DiracVector")),
    *(f"--method.model.link torch.nn.{link}" for link in ("Tanh", "Softplus", "Identity")),
    "--method.model vri_pyro.models.GatedRectification --method.guide vri_pyro.guides.Gated",
    "--method.model vri_pyro.models.WeightedCrossEntropy --method.guide vri_pyro.guides.ScalarWeight",
    "--method ELR --method.elr_weight 1",
    "--method.guide.inputs [vri_pyro.guides.Features,vri_pyro.guides.Loss,vri_pyro.guides.LabelOneHot]",
]


@pytest.mark.parametrize("swap", SWAPS)
def test_method_prior_guide_and_link_are_one_option_each(vri_pyro: Command, here: Path, swap: str) -> None:
    result = vri_pyro("fit", "--config", "tiny.yaml", *SMALL, *swap.split(), "--output", "swapped")
    assert result.status == 0, result.stderr
    assert (here / "swapped" / "summary.json").is_file()


OWN_CLASSES = """
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.data import Arrays, LabelNoise, NoisyLabels, Source
from vri_pyro.interfaces.base import Guide, Prior


class MyGuide(Guide):
    def __init__(self, feature_dim: int, num_classes: int, start: float = 0.0) -> None:
        super().__init__()
        self.location = torch.nn.Parameter(torch.full((num_classes,), start))

    def forward(self, output, y):
        with pyro.plate("data", len(y)):
            return pyro.sample("v", dist.Normal(self.location.expand(len(y), -1), torch.ones(())).to_event(1))


class MyPrior(Prior):
    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, features):
        return dist.Normal(features.new_zeros(len(features), self.num_classes), torch.ones(())).to_event(1)


class MyBackbone(Classifier):
    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = input_shape[0], num_classes
        self.head = torch.nn.Linear(self.feature_dim, num_classes)

    def forward(self, x):
        return ClassifierOutput(self.head(x), x)


class MyNoise(LabelNoise):
    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def apply(self, labels, features, num_classes, generator):
        given = labels.copy()
        given[: self.wrong] = (given[: self.wrong] + 1) % num_classes
        return NoisyLabels(given, labels, np.eye(num_classes))


class MyData(Source):
    def load(self) -> Arrays:
        y = np.arange(120) % 4
        x = np.eye(4, dtype=np.float32)[y]
        return Arrays(x_train=x, y_train=y, x_test=x[:20], y_test=y[:20], classes=("a", "b", "c", "d"))
"""


def test_classes_of_the_users_own_file_are_found_in_the_working_directory(own_process: Command, here: Path) -> None:
    (here / "mine.py").write_text(OWN_CLASSES)
    guide = ("--method.guide", "mine.MyGuide", "--method.guide.start", "0.5", "--method.model.prior", "mine.MyPrior")
    data = ("--data", "mine.MyData", "--noise", "mine.MyNoise", "--noise.wrong", "24", "--batch_size", "20")
    own = (*guide, *data, "--backbone", "mine.MyBackbone")
    result = own_process("fit", "--config", "tiny.yaml", *own)
    assert (result.status, result.stderr) == (0, "")
    assert json.loads((here / "run" / "summary.json").read_text())["split"]["realised_rate"] == 0.25
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert config["method"]["init_args"]["guide"] == {"class_path": "mine.MyGuide", "init_args": {"start": 0.5}}


def test_lines_fit_a_terminal_of_80_columns(vri_pyro: Command, here: Path) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text() + FINE_TUNING)
    shown = vri_pyro("fit", "--config", "tiny.yaml", "--epochs", "2").stdout
    lines = shown.splitlines()
    assert max(len(line) for line in lines if str(here) not in line) < 80
    assert lines[0].split() == ["training", "loss", "meta", "loss", "KL", "validation", "%", "test", "%"]
    assert [line.split()[0] for line in lines[1:4]] == ["1/8", "2/8", "fine-tuning"]


def test_an_installed_configuration_can_be_named(vri_pyro: Command) -> None:
    printed = vri_pyro("fit", "--config", "elr", "--print_config").stdout
    assert "class_path: vri_pyro.methods.ELR" in printed
    assert "did you mean 'elr'?" in vri_pyro("fit", "--config", "elrr").stderr


def test_quiet_run_prints_nothing(vri_pyro: Command) -> None:
    assert vri_pyro("fit", "--config", "tiny.yaml", "--quiet", "true") == (0, "", "")


def test_unknown_noise_rate_is_reported_as_unknown(vri_pyro: Command, here: Path) -> None:
    x, y = np.eye(3, dtype=np.float32)[np.arange(90) % 3], np.arange(90) % 3
    np.savez(here / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y, clean_indices=np.arange(30))
    npz = ("--data", "vri_pyro.data.NpzFile", "--data.path", "mine.npz", "--noise", "vri_pyro.data.NoNoise")
    shown = vri_pyro("fit", "--config", "tiny.yaml", *npz, "--batch_size", "20").stdout
    assert "60 noisy labels, an unknown share of them wrong; 24 clean labels" in shown


@pytest.mark.parametrize("validation", ["2", "0"])
def test_a_run_needs_no_test_set(vri_pyro: Command, here: Path, validation: str) -> None:
    x, y = np.eye(3, dtype=np.float32)[np.arange(90) % 3], np.array(["a", "b", "c"])[np.arange(90) % 3]
    np.savez(here / "mine.npz", x_train=x, y_train=y, clean_indices=np.arange(30))
    npz = ("--data", "NpzFile", "--data.path", "mine.npz", "--split.validation_per_class", validation)
    shown = vri_pyro("fit", "--config", "tiny.yaml", *npz, "--batch_size", "20", "--output", "run")
    assert shown.status == 0, shown.stderr
    results = json.loads((here / "run" / "summary.json").read_text())["results"]
    if validation == "0":
        assert "accuracy: not measured" in shown.stdout
        assert set(results.values()) == {None}
    else:
        assert "validation accuracy (%)" in shown.stdout
        assert results["measured_on"] == "validation"
        assert results["last"] is not None
    assert vri_pyro("report", "run").status == 0
    assert vri_pyro("issues", "run").status == 0


def test_version_and_help(vri_pyro: Command) -> None:
    assert vri_pyro("--version").stdout.strip() == package.__version__
    for option in ("--method", "--data", "--noise", "--backbone", "--epochs", "--resume", "--print_config"):
        assert option in vri_pyro("fit", "--help").stdout

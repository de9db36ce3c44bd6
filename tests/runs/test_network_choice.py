"""The choice of the network and its weight decay by the likelihood of held-out noisy labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from vri_pyro import VRIClassifier
from vri_pyro.cli.main import main
from vri_pyro.data import Arrays, Flip, LabelNoise, PairFlip, UniformExclusive, make_split, mean_and_std
from vri_pyro.runs.named import named_configuration
from vri_pyro.runs.network_choice import CANDIDATES, NetworkChoice, choose_network, chooses
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run


def _gaussian(classes: int, dim: int, count: int, distance: float, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    means = generator.standard_normal((classes, dim)) * distance / np.sqrt(2 * dim)
    y = np.arange(count) % classes
    x = (means[y] + generator.standard_normal((count, dim))).astype(np.float32)
    return Arrays(x[400:], y[400:], x[:400], y[:400], tuple(map(str, range(classes))))


def _rings(count: int) -> Arrays:
    x = np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)
    radius = np.linalg.norm(x, axis=1)
    y = np.digitize(radius, np.quantile(radius, [1 / 3, 2 / 3]))
    return Arrays(x[400:], y[400:], x[:400], y[:400], ("inner", "middle", "outer"))


def _choice(arrays: Arrays, noise: LabelNoise, clean: int = 10, epochs: int = 8) -> NetworkChoice:
    split = make_split(arrays, noise, clean, 0, None, seed=1)
    defaults = {"optimizer": {"init_args": {"momentum": 0.9}}, "loggers": []}
    configuration = named_configuration("vri", defaults, {}, epochs=epochs, quiet=True)
    return choose_network(configuration, arrays, split, mean_and_std(arrays.x_train))


def test_a_linear_classifier_is_chosen_for_gaussian_classes_although_labels_are_flipped_in_pairs() -> None:
    assert _choice(_gaussian(10, 60, 2900, 5.0), PairFlip(0.4), clean=15, epochs=16).chosen.hidden == ()


def test_hidden_layers_are_chosen_for_rings() -> None:
    chosen = _choice(_rings(2900), Flip(0.2)).chosen
    assert chosen.hidden == (128, 64)


def test_the_decay_is_stronger_with_more_features_and_more_noise() -> None:
    few = _choice(_gaussian(4, 10, 2900, 4.0), Flip(0.1)).chosen
    many = _choice(_gaussian(4, 400, 1400, 4.0), UniformExclusive(0.6)).chosen
    assert many.weight_decay > 10 * few.weight_decay


@pytest.mark.slow
def test_the_choice_improves_the_accuracy_on_many_features() -> None:
    arrays = _gaussian(4, 400, 1400, 4.0)
    split = make_split(arrays, UniformExclusive(0.5), 10, 0, None, seed=1)
    rows = np.concatenate([split.noisy_indices, split.clean_indices])
    x, y = np.asarray(arrays.x_train)[rows], split.labels(arrays.y_train)[rows]
    trusted = np.arange(len(rows)) >= len(split.noisy_indices)
    chosen, fixed = (
        VRIClassifier("vri", epochs=20),
        VRIClassifier("vri", epochs=20, backbone=lambda shape, classes: CANDIDATES[0].network(shape, classes)),
    )
    accuracies = [one.fit(x, y, trusted=trusted).score(arrays.x_test, arrays.y_test) for one in (chosen, fixed)]
    assert accuracies[0] > accuracies[1] + 0.1
    assert chosen.network_choice_ is not None
    assert fixed.network_choice_ is None


def test_nothing_is_chosen_for_images_or_if_backbone_or_weight_decay_is_set() -> None:
    vectors = _gaussian(3, 5, 600, 4.0)
    pixels = np.zeros((4, 8, 8), dtype=np.uint8)
    images = Arrays(pixels, np.array([0, 1, 0, 1]), None, None, ("a", "b"))
    free, split = named_configuration("vri", {}, {}), make_split(vectors, Flip(0.2), 2, 0, None, seed=0)
    assert chooses(free, vectors, split)
    assert not chooses(free, images, split)
    assert not chooses(free, vectors, make_split(vectors, Flip(0.2), 2, 0, 99, seed=0))
    for options in (
        {"backbone": {"class_path": "vri_pyro.backbones.MLP"}},
        {"weight_decay": 0.1},
        {"choose_network": False},
    ):
        assert not chooses(named_configuration("vri", {}, options), vectors, split)


@pytest.fixture
def arguments(tmp_path: Path, short_choice: None) -> list[str]:
    arrays = _gaussian(3, 6, 700, 4.0)
    parts = {name: getattr(arrays, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "data.npz", **parts)
    data = ["--data", "NpzFile", "--data.path", str(tmp_path / "data.npz"), "--data.verified", "true"]
    return ["fit", *data, "--epochs", "2", "--quiet", "true", "--report", "false", "--loggers", "[]"]


def test_config_of_a_run_has_the_chosen_network_and_reproduces_the_run(arguments: list[str], tmp_path: Path) -> None:
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    best, *others = json.loads((tmp_path / "run" / "network_choice.json").read_text())
    assert len(others) == 1
    assert best["log_likelihood"] >= others[0]["log_likelihood"]
    assert written["backbone"]["init_args"]["hidden"] == best["hidden"]
    assert (written["weight_decay"], written["choose_network"]) == (best["weight_decay"], False)
    again = ["fit", "--config", str(tmp_path / "run" / "config.yaml"), "--output", str(tmp_path / "again")]
    assert main(again) == 0
    assert (tmp_path / "again" / "metrics.csv").read_text() == (tmp_path / "run" / "metrics.csv").read_text()
    assert not (tmp_path / "again" / "network_choice.json").exists()


def test_run_with_a_chosen_network_is_resumed_with_its_own_command_or_its_config(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([*arguments, "--output", str(run)]) == 0
    (run / "summary.json").unlink()
    assert main([*arguments, "--output", str(run), "--resume", "true"]) == 0
    assert (run / "summary.json").exists()
    assert main(["fit", "--config", str(run / "config.yaml"), "--resume", "true"]) == 0
    assert main([*arguments, "--output", str(run), "--resume", "true", "--weight_decay", "0.7"]) == 2
    assert "different configuration" in capsys.readouterr().err


def test_run_with_a_chosen_network_can_be_opened(arguments: list[str], tmp_path: Path) -> None:
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0
    run, predictor = Run(tmp_path / "run"), Predictor(tmp_path / "run")
    assert run.test is not None
    assert predictor.predict(np.zeros((2, 6), dtype=np.float32)).shape == (2, 3)

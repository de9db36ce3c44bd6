"""The configurations of real data sets have the paper's settings, and train on small copies of their layouts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
import torchvision
import yaml
from published_layouts import animal10n, clothing1m, food101n
from rich.console import Console
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import VGG, make_layers

from vri_pyro.backbones import TorchvisionNetwork
from vri_pyro.data import Source, mean_and_std
from vri_pyro.runs.building import build_trainer, load_data
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.named import method_names
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.utils.progress import ProgressDisplay

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
LAYOUTS: dict[str, Callable[[Path], Source]] = {
    "clothing1m": clothing1m,
    "food101n": food101n,
    "animal10n": animal10n,
}
# Fewer and smaller images; the methods are the configured ones.
SMALLER: dict[str, dict[str, Any]] = {
    "clothing1m": {"batch_size": 8, "clean_batch_size": 8},
    "food101n": {"batch_size": 4, "clean_batch_size": 2},
    "animal10n": {"batch_size": 5, "clean_batch_size": 5},
}
PRETRAINED = ("clothing1m", "food101n")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a narrow network, with the names of torchvision's pretrained ResNet-50."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(_narrow("resnet50").state_dict(), path)
    return path


def _options(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


def _configuration(name: str) -> Configuration:
    parser = configuration_parser()
    return build_configuration(parser, parser.parse_args(["--config", str(CONFIGS / f"{name}.yaml")]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_settings_are_those_of_the_paper(name: str) -> None:
    found = _configuration(name)
    assert (found.batch_size, found.clean_batch_size, found.ema) == (128, 128, None)
    assert found.epochs == (10 if name == "clothing1m" else 30)
    method: Any = found.method
    assert method.num_particles == 1
    assert (method.options["inner_kl_weight"], method.options["outer_kl_weight"]) == (0.001, 0.0)
    assert (method.options["clean_weight"], method.options["detach_features"]) == (0.0, False)
    parameter = torch.nn.Parameter(torch.zeros(1))
    (group,) = found.optimizer([parameter]).param_groups
    (outer,) = method.outer_optimizer([parameter]).param_groups
    assert (outer["lr"], outer["weight_decay"]) == (3e-4, 0.0)
    expected = (0.02, 5e-4) if name == "clothing1m" else (3e-4, 0.0)
    assert (group["lr"], group["weight_decay"]) == expected
    assert group.get("momentum") == (0.9 if name == "clothing1m" else None)
    pair = method.model(16, 10), method.guide(16, 10)
    widths = [[m.out_features for m in part.modules() if isinstance(m, torch.nn.Linear)][:2] for part in pair]
    assert widths == [[1024, 512], [1024, 512]]


def test_networks_are_those_of_the_paper() -> None:
    assert {name: _options(name)["backbone"]["init_args"] for name in LAYOUTS} == {
        "clothing1m": {"name": "resnet50", "pretrained": "IMAGENET1K_V1"},
        "food101n": {"name": "resnet50", "pretrained": "IMAGENET1K_V1"},
        "animal10n": {"name": "vgg19_bn"},
    }
    expected = {
        "wrn28_10": {"depth": 28, "width": 10},
        "resnet50": {"name": "resnet50", "pretrained": True},
        "vgg19": {"name": "vgg19_bn"},
        "vit_s": {"name": "vit_small_patch16_224", "pretrained": True},
    }
    assert {name: _options(name)["backbone"]["init_args"] for name in expected} == expected


def test_configurations_of_data_sets_and_networks_are_no_methods_of_the_estimator() -> None:
    assert not {*LAYOUTS, "wrn28_10", "resnet50", "vgg19", "vit_s"} & set(method_names())


def test_vgg_of_the_configuration_has_its_standard_size() -> None:
    backbone = _configuration("animal10n").backbone
    assert backbone is not None
    classifier = backbone((3, 64, 64), 10)
    assert classifier.feature_dim == 4096
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 139_622_218


def _narrow(name: str, weights: None = None) -> torch.nn.Module:
    """Build a network with the layers of torchvision's, and an eighth of the channels in its 3 x 3 convolutions."""
    if name == "resnet50":
        return ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=8)
    assert name == "vgg19_bn"
    network = VGG(
        make_layers([8, 8, "M", 16, 16, "M", *[32] * 4, "M", *[64] * 4, "M", *[64] * 4, "M"], batch_norm=True)
    )
    hidden = torch.nn.Linear(64 * 7 * 7, 64), torch.nn.ReLU(), torch.nn.Dropout()
    network.classifier = torch.nn.Sequential(*hidden, torch.nn.Linear(64, 1000))
    return network


def _small(name: str, path: Path, weights: Path) -> dict[str, Any]:
    options = copy.deepcopy(_options(name)) | SMALLER[name]
    options["data"]["init_args"] |= {"path": str(path), "size": 36}
    for augmentation in ("augmentation", "clean_augmentation"):
        for step in options[augmentation]["init_args"].get("steps", []):
            if isinstance(step, dict) and "size" in step["init_args"]:
                step["init_args"]["size"] = 32
    if name in PRETRAINED:
        options["backbone"]["init_args"] |= {"weights_file": str(weights), "input_size": 32}
    else:
        options["split"] |= {"validation_per_class": 0, "noisy_size": 10}
        options["selection"]["init_args"] |= {"size": 5, "balanced": False}
        del options["warm_up"]  # another stage of the same network
    return options | {"epochs": 1, "workers": 0, "threads": 1, "device": "cpu", "quiet": True}


@pytest.mark.filterwarnings("ignore:ANIMAL-10N has no:UserWarning")
@pytest.mark.filterwarnings("ignore:.*images of the noisy list are also in a verified set:UserWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_two_steps_are_trained_on_the_published_layout(
    name: str, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", _narrow)  # the whole networks take a minute for two steps
    LAYOUTS[name](tmp_path)
    parser = configuration_parser()
    configuration = build_configuration(parser, parser.parse_object(_small(name, tmp_path, weights)))
    arrays, split = load_data(configuration)
    trainer = build_trainer(configuration, None, arrays, split, mean_and_std(arrays.x_train), identity="")
    assert trainer.steps_per_epoch == 2
    with pyro.validation_enabled(False):
        *_, row = trainer.run(lambda epochs, steps: ProgressDisplay(epochs, steps, Console(quiet=True)))
    assert (row["stage"], row["skipped"]) == ("training", 0)
    assert np.isfinite(row["loss"])
    assert np.isfinite(row["meta_loss"])
    assert isinstance(trainer.classifier, TorchvisionNetwork)
    assert trainer.classifier.takes_pixels == (name in PRETRAINED)
    assert trainer.classifier.feature_dim == (2048 if name in PRETRAINED else 64)

"""A run that starts from pretrained weights can be resumed, opened, predicted with and exported without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from vri_pyro import VRIClassifier
from vri_pyro.backbones import TimmNetwork, TorchvisionNetwork
from vri_pyro.cli.main import main
from vri_pyro.data import Digits
from vri_pyro.runs.export import export_run, load_network
from vri_pyro.runs.export.check import TOLERANCE
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run
from vri_pyro.training import Trunk
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

SMALL = ["--epochs", "1", "--split.noisy_size", "100", "--threads", "1", "--quiet", "true", "--config", "elr"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that was pretrained, whose weights have been deleted."""
    path = tmp_path_factory.mktemp("pretrained")
    weights = path / "weights.safetensors"
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        network = f"--backbone TimmNetwork --backbone.name test_resnet --backbone.weights_file {weights}".split()
        options = ["--backbone.input_size", "32", "--trunk.frozen", "true", "--ema", "null"]
        assert main(["fit", *SMALL, *network, *options, "--output", "run"]) == 0
    weights.unlink()
    return path / "run"


def test_trunk_has_the_pretrained_weights(folder: Path) -> None:
    torch.manual_seed(7)
    expected = timm.create_model("test_resnet").state_dict()
    found = Predictor(folder).classifier.state_dict()
    assert all(torch.equal(found[f"network.{name}"], value) for name, value in expected.items() if "fc." not in name)


def test_predictions_take_the_normalisation_of_the_weights(folder: Path) -> None:
    inputs = RunFolder(folder).read_inputs()
    assert (inputs["mean"], inputs["std"]) == ([0.0], [1.0])
    x = Digits().load().x_train[:50]
    predictor, run = Predictor(folder), Run(folder)
    with torch.no_grad():
        ((output, _),) = run.outputs(np.arange(50))
    assert np.allclose(predictor.predict(x), output.logits.softmax(-1).numpy(), atol=1e-5)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        assert torch.allclose(predictor.classifier(pixels).logits, output.logits, atol=1e-4)


def test_run_is_resumed_without_the_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(folder / "config.yaml"), "--resume", "true"]) == 0


def test_a_new_run_needs_them(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(folder / "config.yaml"), "--output", str(tmp_path / "new")]) == 2
    assert "weights.safetensors does not exist" in capsys.readouterr().err


def test_exported_network_needs_neither_weights_nor_their_folder(folder: Path, tmp_path: Path) -> None:
    found = export_run(folder, ("onnx", "torch", "safetensors"), tmp_path / "exported")
    assert max(found.differences.values()) <= TOLERANCE
    text = (tmp_path / "exported" / "config.json").read_text()
    assert json.loads(text)["backbone"]["init_args"]["weights_file"] == "weights.safetensors"
    assert str(folder.parent) not in text
    assert load_network(tmp_path / "exported").classifier.takes_pixels


def test_inputs_that_are_no_pixels_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), tmp_path / "weights.pth")

    def backbone(shape: tuple[int, ...], classes: int) -> TorchvisionNetwork:
        return TorchvisionNetwork(
            shape, classes, "shufflenet_v2_x0_5", weights_file=tmp_path / "weights.pth", input_size=32
        )

    digits = load_digits()
    x, y = digits.images[:60].astype(np.float32), digits.target[:60]
    classifier = VRIClassifier("elr", backbone=backbone, epochs=1, trunk=Trunk(frozen=True))
    with pytest.raises(UserError, match=r"pixels from 0 to 1, but the inputs are from 0 to 16; scale"):
        classifier.fit(x, y, trusted=range(30))
    classifier.fit(x / 16, y, trusted=range(30))
    with torch.no_grad():
        expected = classifier.run_.predictor(torch.from_numpy(x[:, None] / 16)).logits.softmax(-1)
    assert np.allclose(classifier.predict_proba(x / 16), expected, atol=1e-4)


def test_a_network_of_timm_is_a_backbone_of_the_estimator() -> None:
    digits = load_digits()
    x, y = digits.images[:100].astype(np.float32), digits.target[:100]
    network = timm.create_model("test_resnet", in_chans=1)
    classifier = VRIClassifier("elr", backbone=network, epochs=1).fit(x, y, trusted=range(30))
    assert classifier.predict_proba(x).shape == (100, 10)
    assert network.fc.out_features == 1000, "the module of the user is unchanged"
    by_name = VRIClassifier("elr", backbone=lambda shape, k: TimmNetwork(shape, k, "test_resnet"), epochs=1)
    assert by_name.fit(x, y, trusted=range(30)).predict(x).shape == (100,)

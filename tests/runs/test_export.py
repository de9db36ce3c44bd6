"""Exported networks compute the probabilities of their run, and load without the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from vri_pyro.backbones import MLP
from vri_pyro.data import CentreCrop, Digits
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.runs.export import FORMATS, export_run, load_network
from vri_pyro.runs.export.check import TOLERANCE, check_difference, inputs_to_check
from vri_pyro.runs.predictor import Predictor
from vri_pyro.utils.deprecations import DeprecatedNameWarning
from vri_pyro.utils.errors import UserError

Train = Callable[..., Path]
ALL = ("onnx", "torch", "safetensors")
BACKBONES = {
    "MLP": "MLP",
    "SmallCNN": "SmallCNN --backbone.channels [8]",
    "CIFARResNet": "CIFARResNet --backbone.depth 8",
    "PreActResNet": "PreActResNet --backbone.blocks [1,1,1,1] --split.noisy_size 100",
}
ENSEMBLE = "--backbone MLP --backbone.hidden [16] --networks 2 --ema 0.9 --epochs 3"
CROPS = "--augmentation RandomCrop --augmentation.size 6 --clean_augmentation RandomCrop --clean_augmentation.size 6"


@pytest.fixture(scope="module")
def ensemble(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an averaged ensemble on cropped images."""
    return train(tmp_path_factory.mktemp("export") / "run", *ENSEMBLE.split(), *CROPS.split())


@pytest.fixture(scope="module")
def exported(ensemble: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "exported"
    export_run(ensemble, ALL, folder)
    return folder


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_is_exported_to_every_format(train: Train, backbone: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--backbone", *BACKBONES[backbone].split())
    found = export_run(run, ALL, tmp_path / "exported")
    assert found.inputs == "training"
    assert found.compared == 256
    assert set(found.differences) == set(ALL)
    assert max(found.differences.values()) <= TOLERANCE
    images = Digits().load().x_test[:7]
    expected = Predictor(run).predict(images)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the inputs matter
    for name in ALL:
        for count in (1, 7):
            probabilities = FORMATS[name].predict(tmp_path / "exported", images[:count])
            np.testing.assert_allclose(probabilities, expected[:count], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("which", ["last", "best"])
def test_averaged_ensembles_on_crops_are_exported(ensemble: Path, which: Any, tmp_path: Path) -> None:
    export_run(ensemble, ALL, tmp_path / "exported", which)
    images = Digits().load().x_test[:9]
    expected = Predictor(ensemble, which).predict(images)
    for name in ALL:
        found = FORMATS[name].predict(tmp_path / "exported", images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_vectors_are_exported_with_their_standardisation(train: Train, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(50, 9, size=(300, 4)).astype(np.float32), generator.integers(3, size=300)
    np.savez(tmp_path / "mine.npz", x_train=x[:250], y_train=y[:250], x_test=x[250:], y_test=y[250:])
    data = ("--data", "NpzFile", "--data.path", str(tmp_path / "mine.npz"), "--data.verified", "true")
    run = train(tmp_path / "run", *data, "--split.noisy_size", "100")
    export_run(run, ALL, tmp_path / "exported")
    for name in ALL:
        found = FORMATS[name].predict(tmp_path / "exported", x[:5])
        np.testing.assert_allclose(found, Predictor(run).predict(x[:5]), rtol=0, atol=TOLERANCE)
    (tmp_path / "mine.npz").unlink()
    assert export_run(run, ["onnx"], tmp_path / "without data").inputs == "random"


_ELSEWHERE = """
import json, sys
sys.modules["torch"] = sys.modules["vri_pyro"] = None  # importing them raises
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
(inputs,), (outputs,) = session.get_inputs(), session.get_outputs()
assert (inputs.name, inputs.type, inputs.shape) == ("inputs", "tensor(uint8)", ["batch", 8, 8, 1]), inputs
assert (outputs.name, outputs.shape) == ("probabilities", ["batch", 10])
x = np.load(sys.argv[2])
np.save(sys.argv[3], session.run(["probabilities"], {"inputs": x})[0])
assert not {name for name in sys.modules if name.split(".")[0] in ("torch", "vri_pyro", "pyro")} - {"torch", "vri_pyro"}
print(metadata["classes"])
"""


def test_onnx_runs_in_a_process_without_torch_and_without_the_package(
    ensemble: Path, exported: Path, tmp_path: Path
) -> None:
    images = Digits().load().x_test[:20]
    np.save(tmp_path / "x.npy", images)
    arguments = [str(exported / "model.onnx"), "x.npy", "p.npy"]
    command = [sys.executable, "-c", _ELSEWHERE, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(digit) for digit in range(10)]
    expected = Predictor(ensemble).predict(images)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=0, atol=TOLERANCE)


_WITHOUT_PACKAGE = """
import json, sys
sys.modules["vri_pyro"] = sys.modules["pyro"] = None
import numpy as np, torch
extra_files = {"classes.json": ""}
network = torch.export.load(sys.argv[1], extra_files=extra_files).module()
np.save(sys.argv[3], network(torch.from_numpy(np.load(sys.argv[2]))).detach().numpy())
print(extra_files["classes.json"])
"""


def test_torch_program_runs_in_a_process_without_the_package(ensemble: Path, exported: Path, tmp_path: Path) -> None:
    images = Digits().load().x_test[:20]
    np.save(tmp_path / "x.npy", images)
    command = [sys.executable, "-c", _WITHOUT_PACKAGE, str(exported / "model.pt2"), "x.npy", "p.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(digit) for digit in range(10)]
    expected = Predictor(ensemble).predict(images)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=0, atol=TOLERANCE)


def test_safetensors_have_the_state_of_the_classifier_and_what_rebuilds_it(ensemble: Path, exported: Path) -> None:
    from safetensors.torch import load_file

    predictor, network = Predictor(ensemble), load_network(exported)
    weights = load_file(exported / "model.safetensors")
    assert set(weights) == set(predictor.classifier.state_dict())
    for name, value in predictor.classifier.state_dict().items():
        assert torch.equal(weights[name], value)
    config = json.loads((exported / "config.json").read_text())
    assert config["classes"] == list(predictor.classes)
    assert config["networks"] == 2
    assert config["backbone"]["class_path"] == "vri_pyro.backbones.MLP"
    assert config["backbone"]["init_args"]["hidden"] == [16]
    np.testing.assert_array_equal(np.array(config["mean"], np.float32), predictor.mean)
    assert not network.training


def test_no_file_has_paths_of_the_machine_that_wrote_it(exported: Path, ensemble: Path) -> None:
    here = {str(Path(__file__).parents[2]), sys.prefix, str(ensemble.parent), str(Path.home())}
    for path in exported.iterdir():
        content = path.read_bytes()
        assert not [place for place in here if place.encode() in content], path.name


def test_model_card_states_the_accuracy_and_how_it_was_measured(exported: Path, ensemble: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    text = (exported / "README.md").read_text()
    front_matter = yaml.safe_load(text.split("---\n")[1])
    card = huggingface_hub.ModelCard(text)
    assert card.data.to_dict()["tags"] == front_matter["tags"]
    assert front_matter["library_name"] == "vri-pyro"
    assert front_matter["license"] == "unknown"
    (result,) = card.data.eval_results
    summary = json.loads((ensemble / "summary.json").read_text())
    assert (result.task_type, result.dataset_name) == ("image-classification", "Digits, test set")
    assert result.metric_value == pytest.approx(summary["results"]["last"] / 100, abs=1e-6)
    assert f"**{summary['results']['last']:.2f}%**" in text
    assert "| noisy labels | 200 |" in text
    assert "| clean labels | 30 |" in text
    assert f"Flip(rate=0.4), {summary['split']['realised_rate']:.1%} of the noisy labels are wrong" in text
    assert all(f"### {name}\n" in text for name in ALL)
    assert str(ensemble.parent) not in text


def test_model_card_of_the_best_epoch_has_its_accuracy(ensemble: Path, tmp_path: Path) -> None:
    export_run(ensemble, ["safetensors"], tmp_path / "exported", "best")
    text = (tmp_path / "exported" / "README.md").read_text()
    chosen = json.loads((ensemble / "summary.json").read_text())["results"]["chosen"]
    assert f"**{chosen:.2f}%**" in text
    assert "the epoch with the best validation accuracy" in text
    assert "### onnx" not in text


def test_model_card_of_an_unfinished_run_states_no_accuracy(ensemble: Path, tmp_path: Path) -> None:
    unfinished = shutil.copytree(ensemble, tmp_path / "run")
    (unfinished / "summary.json").unlink()
    export_run(unfinished, ["safetensors"], tmp_path / "exported")
    text = (tmp_path / "exported" / "README.md").read_text()
    assert "was not measured, because the run is not finished" in text
    assert "model-index" not in yaml.safe_load(text.split("---\n")[1])


@pytest.mark.parametrize("name", ALL)
def test_programs_of_the_model_card_run(name: str, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    section = (exported / "README.md").read_text().split(f"### {name}\n")[1]
    program = section.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"inputs": Digits().load().x_test[:3]}
    exec(program, names)
    assert names["probabilities"].shape == (3, 10)


def test_version_0_1_runs_are_exported(tmp_path: Path) -> None:
    run = Path(__file__).parent / "version_0_1" / "finished"
    with pytest.warns(DeprecatedNameWarning):
        export_run(run, ["onnx"], tmp_path / "exported")
    assert (tmp_path / "exported" / "model.onnx").exists()


def test_a_difference_of_probabilities_is_an_error() -> None:
    expected = np.full((2, 2), 0.5, np.float32)
    assert check_difference(expected, expected + 5e-6, "onnx") == pytest.approx(5e-6, rel=0.1)
    for other in (expected + 2e-5, expected[:1], np.full_like(expected, np.nan)):
        with pytest.raises(UserError, match="the probabilities of the onnx export differ from those of the run by"):
            check_difference(expected, other, "onnx")


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_export_leaves_nothing_behind(
    name: str, ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = FORMATS[name].predict
    monkeypatch.setattr(type(FORMATS[name]), "predict", lambda self, folder, x: predict(folder, x) + 1e-4)
    with pytest.raises(UserError, match=f"the probabilities of the {name} export differ .* so nothing was written"):
        export_run(ensemble, [name], tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


class Untraceable(MLP):
    """Takes another branch depending on the inputs."""

    def forward(self, x: Tensor) -> ClassifierOutput:
        return super().forward(x if x.mean() > 0 else -x)


def test_a_backbone_that_cannot_be_traced_is_an_error(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "my_untraceable", sys.modules[__name__])
    monkeypatch.setattr(Untraceable, "__module__", "my_untraceable")
    run = train(tmp_path / "run", "--backbone", "my_untraceable.Untraceable")
    with pytest.raises(UserError, match=r"the network cannot be exported to torch \(.*\); use --format safetensors"):
        export_run(run, ["torch"], tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
    export_run(run, ["safetensors"], tmp_path / "exported")


def test_random_inputs_have_the_shape_dtype_and_scale_of_training(ensemble: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(ensemble, tmp_path / "run")
    config = yaml.safe_load((elsewhere / "config.yaml").read_text())
    config["data"] = {"class_path": "vri_pyro.data.NpzFile", "init_args": {"path": "/nowhere.npz"}}
    (elsewhere / "config.yaml").write_text(yaml.safe_dump(config))
    x, kind = inputs_to_check(Predictor(elsewhere))
    assert (kind, x.shape, x.dtype) == ("random", (256, 8, 8, 1), np.uint8)
    assert x.min() < 10
    assert x.max() > 245


def test_unusable_requests_raise(ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="format is 'pickle'; expected one of onnx, torch, safetensors"):
        export_run(ensemble, ["pickle"], tmp_path / "exported")
    with pytest.raises(UserError, match="is not a run folder"):
        export_run(tmp_path, ["onnx"], tmp_path / "exported")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="full is not empty; choose another folder, or delete this one"):
        export_run(ensemble, ["torch"], tmp_path / "full")
    with pytest.raises(UserError, match="cannot write"):
        export_run(ensemble, ["torch"], tmp_path / "full" / "thesis.tex" / "inside")
    for package in ("onnxruntime", "safetensors"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"--format onnx needs onnxruntime: pip install 'vri-pyro\[onnx\]'"):
        export_run(ensemble, ["onnx"], tmp_path / "exported")
    with pytest.raises(UserError, match=r"safetensors needs safetensors: pip install 'vri-pyro\[safetensors\]'"):
        export_run(ensemble, ["safetensors"], tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_damaged_safetensors_exports_raise(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json; use a folder written by vri-pyro export"):
        load_network(tmp_path)
    copy = shutil.copytree(exported, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"has damaged files .* export the run again"):
        load_network(copy)


def test_network_crops_before_it_standardises(ensemble: Path) -> None:
    predictor, x = Predictor(ensemble), Digits().load().x_test[:4]
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    cropped = CentreCrop(6)(images, np.random.default_rng(0)).float() / 255
    mean, std = (torch.from_numpy(values).reshape(-1, 1, 1) for values in (predictor.mean, predictor.std))
    with torch.no_grad():
        expected = predictor.classifier((cropped - mean) / std).logits.double().softmax(-1)
    torch.testing.assert_close(torch.from_numpy(predictor.predict(x)), expected)

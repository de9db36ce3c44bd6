"""Pretrained weights: from files and caches, without executing code, with the input that they were trained on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from vri_pyro.backbones import TimmNetwork, TorchvisionNetwork
from vri_pyro.backbones.pretrained_weights import read_weights, without_pretrained_weights
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError

IMAGE = (3, 40, 40)
CLASSES = 4
BUILD: dict[str, Callable[..., Classifier]] = {
    "torchvision": lambda **options: TorchvisionNetwork(IMAGE, CLASSES, "shufflenet_v2_x0_5", **options),
    "timm": lambda **options: TimmNetwork(IMAGE, CLASSES, "test_resnet", **options),
}
ORIGINAL: dict[str, Callable[[], nn.Module]] = {
    "torchvision": lambda: torchvision.models.shufflenet_v2_x0_5(),
    "timm": lambda: timm.create_model("test_resnet"),
}
PREPROCESSING: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "torchvision": lambda: torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms(resize_size=224),
    "timm": lambda: timm.data.create_transform(
        **timm.data.resolve_data_config({"crop_pct": 1.0}, model=timm.create_model("test_resnet"))
    ),
}
LIBRARIES = list(BUILD)


@pytest.fixture(params=[".pth", ".safetensors"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


def _saved(network: nn.Module, path: Path) -> Path:
    state = network.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("library", LIBRARIES)
def test_features_are_those_of_the_pretrained_network_with_its_own_preprocessing(
    library: str, suffix: str, tmp_path: Path
) -> None:
    original = ORIGINAL[library]().eval()
    classifier = BUILD[library](weights_file=_saved(original, tmp_path / f"weights{suffix}")).eval()
    assert classifier.takes_pixels
    pixels = torch.randint(256, IMAGE, dtype=torch.uint8)
    prepared = PREPROCESSING[library]()(torchvision.transforms.functional.to_pil_image(pixels))[None]
    layer = original.get_submodule(classifier.replaced)
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    seen: list[Tensor] = []
    with torch.no_grad():
        original(prepared)
        features = classifier(pixels[None] / 255).features
    # Pillow rounds the pixels that it interpolates to whole numbers.
    assert (features - seen[0]).norm() < 0.05 * seen[0].norm()
    assert torch.nn.functional.cosine_similarity(features, seen[0]) > 0.999


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_file_of_another_number_of_classes_and_of_a_training_script_is_accepted(library: str, tmp_path: Path) -> None:
    original = {
        "torchvision": lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=7),
        "timm": lambda: timm.create_model("test_resnet", num_classes=7),
    }[library]()
    state = {f"module.{name}": value for name, value in original.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pth")
    classifier = BUILD[library](weights_file=tmp_path / "checkpoint.pth")
    loaded = dict(classifier.network.named_parameters())
    expected = {name: value for name, value in original.named_parameters() if name in loaded}
    assert len(expected) == len(loaded)
    assert all(torch.equal(value, loaded[name]) for name, value in expected.items())
    assert not any(isinstance(value, dict) and "state_dict" in value for value in vars(classifier.network).values())


def test_weights_of_the_first_densenets_are_renamed(tmp_path: Path) -> None:
    state = torchvision.models.densenet121().state_dict()
    old = {name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for name, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    classifier = TorchvisionNetwork(IMAGE, CLASSES, "densenet121", weights_file=tmp_path / "old.pth")
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(classifier.network.get_parameter(name), state[name])


def test_auxiliary_layers_are_left_out(tmp_path: Path) -> None:
    original = torchvision.models.googlenet(init_weights=False)
    path = _saved(original, tmp_path / "googlenet.pth")
    classifier = TorchvisionNetwork((3, 64, 64), CLASSES, "googlenet", weights_file=path, input_size=64)
    assert not any(name.startswith("aux") for name, _ in classifier.network.named_parameters() if "aux" in name)
    assert torch.equal(classifier.network.conv1.conv.weight, original.conv1.conv.weight)


@pytest.mark.parametrize("library", LIBRARIES)
def test_weights_of_another_network_are_refused_with_their_names(library: str, tmp_path: Path) -> None:
    path = _saved(torchvision.models.resnet18(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"weights_file .*other\.pth does not fit .*conv1.*; use weights of the same"):
        BUILD[library](weights_file=path)


@pytest.mark.parametrize("library", LIBRARIES)
def test_weights_of_another_shape_and_unknown_ones_are_named(library: str, tmp_path: Path) -> None:
    state = ORIGINAL[library]().state_dict()
    first = next(iter(state))
    torch.save(state | {first: torch.zeros(2, 3)}, tmp_path / "shape.pth")
    with pytest.raises(UserError, match=rf"{first}"):
        BUILD[library](weights_file=tmp_path / "shape.pth")
    torch.save(state | {"extra.weight": torch.zeros(2)}, tmp_path / "extra.pth")
    with pytest.raises(UserError, match=r"extra\.weight"):
        BUILD[library](weights_file=tmp_path / "extra.pth")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: torch.save({"fc.weight": _Evil()}, path), "is damaged or not a state dict"),
        (lambda path: path.write_bytes(pickle.dumps(_Evil())), "is damaged or not a state dict"),
        (lambda path: torch.save(nn.Linear(2, 2), path), "is damaged or not a state dict"),
        (lambda path: path.write_bytes(b"PK\x03\x04 nothing"), "is damaged or not a state dict"),
        (lambda path: path.write_bytes(b""), "is damaged or not a state dict"),
        (lambda path: torch.save([1, 2], path), "has no state dict"),
        (lambda path: torch.save({}, path), "has no state dict"),
        (lambda path: torch.save({"epoch": 3}, path), "has no state dict"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused_and_executes_nothing(
    content: Callable[[Path], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content(tmp_path / "weights.pth")
    with pytest.raises(UserError, match=message):
        read_weights(tmp_path / "weights.pth")
    assert not Path("executed").exists()


def test_damaged_safetensors_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="is damaged or not a state dict"):
        read_weights(tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"none\.pth does not exist; set it to"):
        read_weights(tmp_path / "none.pth")


def test_torchvision_reads_its_cache_and_says_offline_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    name = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url.rpartition("/")[2]
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(UserError) as refused:
        BUILD["torchvision"](pretrained=True)
    assert str(refused.value) == (
        f"the weights of torchvision's shufflenet_v2_x0_5 are not in {folder / name} and cannot be downloaded (no "
        "route to host); put the file there, or set weights_file to it"
    )
    original = ORIGINAL["torchvision"]()
    _saved(original, folder / name)
    classifier = BUILD["torchvision"](pretrained="IMAGENET1K_V1")
    assert torch.equal(classifier.network.conv1[0].weight, original.conv1[0].weight)


def test_timm_reads_its_cache_and_says_offline_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    asked = []

    def cached(repository: str, file: str) -> str | None:
        asked.append((repository, file))
        return str(path) if path.exists() else None

    path = tmp_path / "model.safetensors"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    with pytest.raises(UserError) as refused:
        BUILD["timm"](pretrained=True)
    assert str(refused.value) == (
        "the weights of timm's test_resnet (model.safetensors of timm/test_resnet.r160_in1k) are not in "
        f"{tmp_path}/models--timm--test_resnet.r160_in1k and cannot be downloaded; connect to the internet once, or "
        "set weights_file to a copy of the file"
    )
    original = ORIGINAL["timm"]()
    _saved(original, path)
    classifier = BUILD["timm"](pretrained=True)
    assert asked[-1] == ("timm/test_resnet.r160_in1k", "model.safetensors")
    assert torch.equal(next(classifier.network.parameters()), next(original.parameters()))


def test_timm_asks_an_unreachable_server_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_: "http://127.0.0.1:9/file")  # nothing listens there
    # A download would repeat its request for half a minute.
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("a download was tried"))
    with pytest.raises(UserError, match="cannot be downloaded; connect to the internet once"):
        BUILD["timm"](pretrained=True)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_network_whose_checkpoint_is_loaded_next_needs_no_weights(library: str, tmp_path: Path) -> None:
    with without_pretrained_weights():
        classifier = BUILD[library](weights_file=tmp_path / "is not there")
        assert BUILD[library](pretrained=True).takes_pixels
    assert classifier.takes_pixels
    assert classifier.prepare.mean is not None


@pytest.mark.parametrize("library", LIBRARIES)
def test_input_size_overrides_that_of_the_weights(library: str, tmp_path: Path) -> None:
    path = _saved(ORIGINAL[library](), tmp_path / "weights.pth")
    sizes = {"torchvision": 224, "timm": 160}
    assert BUILD[library](weights_file=path).prepare.side == sizes[library]
    assert BUILD[library](weights_file=path, input_size=64).prepare.side == 64
    assert BUILD[library]().prepare.side is None
    assert not BUILD[library]().takes_pixels

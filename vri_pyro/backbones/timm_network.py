"""The image classifiers of timm, by name, with or without pretrained weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vri_pyro.backbones._image_input import ImageInput
from vri_pyro.backbones._input import check_image_shape
from vri_pyro.backbones.pretrained_weights import cached_or_downloaded, read_weights, weights_are_loaded
from vri_pyro.backbones.wrapped import Wrapped, ending_in_linear
from vri_pyro.utils.errors import UserError, building
from vri_pyro.utils.numbers import check_integer
from vri_pyro.utils.spelling import nearest

_FILE = "model.safetensors"


class TimmNetwork(Wrapped):
    """Image classifier of timm, by name, such as vit_small_patch16_224; its weights may be pretrained.

    The last linear layer is replaced by a new one, whose inputs are the features. With pretrained weights, images are
    resized to the size that these were trained on, and normalised by their mean and standard deviation, inside the
    network. Grey images are repeated for three channels. Requires the package timm.

    Args:
        input_shape: shape of one image, (C, H, W).
        num_classes: number of classes K.
        name: name of the network, as in ``timm.list_models()``. It may end in the name of its pretrained weights, as in
            "resnet50.tv_in1k". Names of repositories and folders, such as "hf-hub:...", are refused.
        pretrained: whether to start from pretrained weights. They are read from the cache of the Hugging Face Hub, or
            downloaded.
        weights_file: file with the pretrained weights, .safetensors or .pth, to read instead.
        input_size: side in pixels to which images are resized; null for that of the pretrained weights or, without
            these, the size of the images. Networks for one size, such as vision transformers, are built for the given
            size, or else for their own.

    Raises:
        UserError: timm is missing or has no such network, the weights are neither in the cache nor downloadable, or the
            file does not fit the network.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        name: str,
        pretrained: bool = False,
        weights_file: Path | None = None,
        input_size: int | None = None,
    ) -> None:
        check_image_shape(type(self).__name__, input_shape, 1)
        if input_size is not None:
            check_integer("input_size", input_size, 1)
        cfg = _configuration(name)
        trained = pretrained or weights_file is not None
        weights = _weights(name, cfg, weights_file) if trained and weights_are_loaded() else None
        channels = 3 if input_shape[0] == 1 else input_shape[0]
        network = _network(name, cfg, weights, weights_file, channels, input_size)
        side = input_size or (cfg.input_size[-1] if trained or cfg.fixed_input_size else None)
        normalisation: dict[str, Any] = {"mode": _mode(cfg), "mean": cfg.mean, "std": cfg.std} if trained else {}
        prepare = ImageInput(channels, side, **normalisation)
        with ending_in_linear(f"timm's {name}"):
            super().__init__(input_shape, num_classes, network, None if network.num_classes else "", prepare)
        self.takes_pixels = trained


def _configuration(name: str) -> Any:
    """Return timm's description of the pretrained weights of a network: their size, normalisation and place."""
    try:
        import timm
    except ImportError as error:
        raise UserError("TimmNetwork needs timm: pip install 'vri-pyro[timm]'") from error
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise UserError(f"name is {name!r}; expected a name of timm.list_models(), without a repository or a folder")
    if not timm.is_model(name):
        near = nearest(name, timm.list_models())
        hint = f"did you mean {near!r}?" if near else "timm.list_models() lists the names"
        raise UserError(f"timm has no network {name!r}; {hint}")
    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        listed = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"
        raise UserError(f"timm has no weights {name!r}; expected one of {listed}") from error
    if found is None:
        raise UserError(f"timm does not describe {name!r}; use another network")
    return found


def _weights(name: str, cfg: Any, file: Path | None) -> Mapping[str, Tensor]:
    """Read the pretrained weights from a file or from the cache, which downloads them if they are not there."""
    if file is not None:
        return read_weights(file)
    if cfg.hf_hub_id is None:
        if cfg.url is None:
            raise UserError(f"timm has no pretrained weights for {name!r}; use pretrained: false, or set weights_file")
        return cached_or_downloaded(cfg.url, f"timm's {name}")
    return read_weights(_from_hub(name, cfg.hf_hub_id, cfg.hf_hub_filename or _FILE))


def _from_hub(name: str, repository: str, file: str) -> Path:
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # The download would repeat a request that fails for half a minute; this one is made once.
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file))
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # of the HTTP library, which depends on the version of the hub's library
        folder = Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        raise UserError(
            f"the weights of timm's {name} ({file} of {repository}) are not in {folder} and cannot be downloaded; "
            "connect to the internet once, or set weights_file to a copy of the file"
        ) from error


def _network(
    name: str, cfg: Any, weights: Mapping[str, Tensor] | None, file: Path | None, channels: int, input_size: int | None
) -> nn.Module:
    import timm

    options: dict[str, Any] = {"in_chans": channels}
    if input_size is not None and cfg.fixed_input_size:
        options["img_size"] = input_size
    if weights is None:
        with building(f"timm's {name}"):
            return timm.create_model(name, num_classes=cfg.num_classes, **options)
    classes = _classes(cfg, weights)
    overlay = {"state_dict": dict(weights), "num_classes": classes}
    try:
        network = timm.create_model(
            name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay, **options
        )
    except RuntimeError as error:
        where = f"weights_file {file}" if file is not None else "the file in the cache"
        told = " ".join(str(error).split())[:400]
        raise UserError(f"{where} does not fit timm's {name} ({told}); use weights of the same network") from error
    network.pretrained_cfg.pop("state_dict", None)  # it would be copied with the network
    return network


def _classes(cfg: Any, weights: Mapping[str, Tensor]) -> int:
    """Return the number of classes that the weights were trained for."""
    layer = cfg.classifier if isinstance(cfg.classifier, str) else ""
    found = weights.get(f"{layer}.weight")
    return cfg.num_classes if found is None else len(found)


def _mode(cfg: Any) -> str:
    return cfg.interpolation if cfg.interpolation in ("bilinear", "bicubic") else "bilinear"

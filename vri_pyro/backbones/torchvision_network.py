"""The image classifiers of torchvision, by name, with or without pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vri_pyro.backbones._image_input import ImageInput
from vri_pyro.backbones._input import check_image_shape
from vri_pyro.backbones.pretrained_weights import (
    cached_or_downloaded,
    load_weights,
    read_weights,
    weights_are_loaded,
)
from vri_pyro.backbones.wrapped import Wrapped, ending_in_linear
from vri_pyro.utils.errors import UserError, building
from vri_pyro.utils.numbers import check_integer
from vri_pyro.utils.spelling import nearest

# Networks with layers that only their own training needs; the weights of these layers are left out.
_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# Networks for one size of images, and the name of the argument for it.
_SIZES = {"vit": "image_size", "maxvit": "input_size"}
_SIDE = 224


class TorchvisionNetwork(Wrapped):
    """Image classifier of torchvision, by name, such as resnet50; its weights may be pretrained.

    The last linear layer is replaced by a new one, whose inputs are the features. With pretrained weights, images are
    resized to the size that these were trained on, and normalised by their mean and standard deviation, inside the
    network. Grey images are repeated for the three channels.

    Args:
        input_shape: shape of one image, (C, H, W), with 1 or 3 channels.
        num_classes: number of classes K.
        name: name of the network, as in ``torchvision.models.list_models()``.
        pretrained: whether to start from pretrained weights; or the name of the weights, such as IMAGENET1K_V1, instead
            of torchvision's default. They are read from the cache of torch.hub, or downloaded.
        weights_file: file with the pretrained weights, .pth or .safetensors, to read instead.
        input_size: side in pixels to which images are resized; null for that of the pretrained weights or, without
            these, the size of the images. Vision transformers always need 224 pixels, unless it is set.

    Raises:
        UserError: there is no such network or no such weights, they are neither in the cache nor downloadable, or the
            file does not fit the network.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        name: str,
        pretrained: bool | str = False,
        weights_file: Path | None = None,
        input_size: int | None = None,
    ) -> None:
        check_image_shape(type(self).__name__, input_shape, 1)
        if input_size is not None:
            check_integer("input_size", input_size, 1)
        _check_name(name)
        entry = _entry(name, pretrained) if pretrained or weights_file else None
        options = _options(name, entry is not None, input_size)
        with building(f"torchvision's {name}"):
            network = _models().get_model(name, weights=None, **options)
        prepare = ImageInput(3, input_size or _default_size(name, entry), **_normalisation(entry))
        with ending_in_linear(f"torchvision's {name}"):
            super().__init__(input_shape, num_classes, network, prepare=prepare)
        self.takes_pixels = entry is not None
        if entry is not None and weights_are_loaded():
            file = weights_file
            weights = cached_or_downloaded(entry.url, f"torchvision's {name}") if file is None else read_weights(file)
            where = f"the file of {entry}" if file is None else f"weights_file {file}"
            load_weights(self.network, weights, where, (f"{self.replaced}.", *_AUXILIARY.get(name, ())))


def _models() -> Any:
    from torchvision import models  # slow to import

    return models


def _check_name(name: str) -> None:
    known = _models().list_models(module=_models())
    if name not in known:
        near = nearest(str(name), known)
        hint = f"did you mean {near!r}?" if near else "torchvision.models.list_models() lists the names"
        raise UserError(f"torchvision has no image classifier {name!r}; {hint}")


def _entry(name: str, pretrained: bool | str) -> Any:
    """Return the pretrained weights of a network, as a member of torchvision's enumeration."""
    entries = _models().get_model_weights(name)
    asked = pretrained if isinstance(pretrained, str) else "DEFAULT"
    if asked not in entries.__members__:
        listed = ", ".join(entries.__members__) or "none"
        raise UserError(f"torchvision's {name} has no weights {asked!r}; expected one of {listed}")
    return entries[asked]


def _options(name: str, pretrained: bool, input_size: int | None) -> dict[str, Any]:
    sized = next((option for prefix, option in _SIZES.items() if name.startswith(prefix)), None)
    if sized is not None:
        side = input_size or _SIDE
        return {sized: (side, side) if sized == "input_size" else side}
    if name in _AUXILIARY:
        return {"aux_logits": False, "init_weights": not pretrained, "transform_input": pretrained}
    return {}


def _default_size(name: str, entry: Any) -> int | None:
    if entry is not None:
        return entry.transforms().crop_size[0]
    return _SIDE if name.startswith(tuple(_SIZES)) else None


def _normalisation(entry: Any) -> dict[str, Any]:
    if entry is None:
        return {}
    preset = entry.transforms()
    return {"mode": preset.interpolation.value, "mean": tuple(preset.mean), "std": tuple(preset.std)}

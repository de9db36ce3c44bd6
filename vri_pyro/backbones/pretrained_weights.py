"""Weights of pretrained networks: read from files without executing code, and loaded with clear errors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from vri_pyro.utils.errors import UserError

_NESTED = ("state_dict", "model")  # keys under which training scripts save the weights
_MOST_SHOWN = 3
_loaded: ContextVar[bool] = ContextVar("_loaded", default=True)


@contextmanager
def without_pretrained_weights() -> Iterator[None]:
    """Context in which pretrained networks are built with random weights, since a checkpoint will replace them."""
    token = _loaded.set(False)
    try:
        yield
    finally:
        _loaded.reset(token)


def weights_are_loaded() -> bool:
    """Return whether a pretrained network is to read its weights; see :func:`without_pretrained_weights`."""
    return _loaded.get()


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict from a file, on the CPU, without executing pickled code.

    Args:
        path: a .safetensors file, or a file of ``torch.save`` with a state dict, which may be nested under
            ``state_dict`` or ``model``. A prefix ``module.`` of all names is removed.

    Raises:
        UserError: the file does not exist, is damaged, or has something other than tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights_file {path} does not exist; set it to a state dict, .safetensors or .pth")
    try:
        found: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"weights_file {path} is damaged or not a state dict ({_first_line(error)}); save the weights with "
            "torch.save(network.state_dict(), path)"
        ) from error
    for name in _NESTED:
        found = found[name] if isinstance(found, Mapping) and isinstance(found.get(name), Mapping) else found
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(
            f"weights_file {path} has no state dict, that is, tensors by name; save the weights with "
            "torch.save(network.state_dict(), path)"
        )
    prefix = "module." if all(str(name).startswith("module.") for name in found) else ""
    return {str(name).removeprefix(prefix): value for name, value in found.items()}


def cached_or_downloaded(url: str, what: str) -> dict[str, Tensor]:
    """Read weights from the cache of torch.hub, which downloads them if they are not there.

    Args:
        url: address of the file.
        what: whose weights they are, for the message.

    Raises:
        UserError: the file is neither in the cache nor downloadable.
    """
    name = url.rpartition("/")[2]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = re.search(r"-([0-9a-f]{8,})\.", name)
            torch.hub.download_url_to_file(url, str(file), digest and digest[1], progress=False)
        except (OSError, RuntimeError) as error:  # no network, or a damaged download
            raise UserError(
                f"the weights of {what} are not in {file} and cannot be downloaded ({_first_line(error)}); put the "
                "file there, or set weights_file to it"
            ) from error
    return read_weights(file)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], where: str, ignored: Collection[str] = ()) -> None:
    """Load a state dict into a network; every parameter and buffer must be there, with its shape.

    Args:
        network: the network.
        weights: tensors by name.
        where: the file, for messages.
        ignored: prefixes of names that the network does not need, such as those of its last layer.

    Raises:
        UserError: the names or the shapes differ; the message lists them.
    """
    own = network.state_dict()
    given = {}
    for name, value in weights.items():
        # Files of torchvision's first DenseNets have names such as norm.1 for norm1.
        modern = name if name in own else re.sub(r"(norm|conv)\.(\d)\.", r"\1\2.", name)
        if modern in own or not name.startswith(tuple(ignored)):
            given[modern] = value
    shapes = [
        f"{name} has shape {list(given[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    # Networks of old files did not count batches.
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    told = [
        *([f"without {_listed(missing)}"] if missing else []),
        *([f"with the unknown {_listed(unknown)}"] if (unknown := [name for name in given if name not in own]) else []),
        *shapes[:_MOST_SHOWN],
    ]
    if told:
        raise UserError(
            f"{where} does not fit {type(network).__name__} ({'; '.join(told)}); use weights of the same network"
        )
    network.load_state_dict(given, strict=False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError("a .safetensors file needs safetensors: pip install 'vri-pyro[safetensors]'") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_torch(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")  # an error follows if it cannot be read
        return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_MOST_SHOWN])
    return f"{shown} and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else shown

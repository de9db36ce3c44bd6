"""The interface of the export formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vri_pyro.runs.inference_network import InferenceNetwork
from vri_pyro.utils.errors import UserError


class Format(ABC):
    """Base class of export formats.

    Attributes:
        name: name of the format.
        file: name of the file with the weights.
        packages: packages that the format needs, in the extra of the format's name.
    """

    name: str
    file: str
    packages: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise if a package that the format needs is missing."""
        for package in self.packages:
            try:
                import_module(package)
            except ImportError as error:
                raise UserError(f"--format {self.name} needs {package}: pip install 'vri-pyro[{self.name}]'") from error

    @abstractmethod
    def write(self, folder: Path, network: InferenceNetwork, config: Mapping[str, Any]) -> None:
        """Write the network to a folder.

        Args:
            folder: an existing folder.
            network: the network, on the CPU.
            config: class names, shape, dtype and standardisation of the inputs, and the options of the network, as
                :func:`~vri_pyro.runs.inference_network.build_network` takes them.
        """

    @abstractmethod
    def predict(self, folder: Path, x: np.ndarray) -> np.ndarray:
        """Load the written network and compute class probabilities, to check them.

        Args:
            folder: the folder.
            x: images [N, H, W, C] or vectors [N, D], of the dtype of the training inputs.

        Returns:
            class probabilities, float32 [N, K].
        """


def example(config: Mapping[str, Any]) -> Tensor:
    """Return a batch of two blank inputs, for tracing the network."""
    return torch.from_numpy(np.zeros((2, *stored_shape(config["shape"])), dtype=config["dtype"]))


def stored_shape(shape: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Return the shape in which an input is stored, (H, W, C) or (D,), from (C, H, W) or (D,)."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)

"""Export to safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vri_pyro.runs.export.format import Format
from vri_pyro.runs.inference_network import InferenceNetwork, build_network
from vri_pyro.utils.errors import UserError

_CONFIG = "config.json"


class Safetensors(Format):
    """State dict of the classifier, and ``config.json`` from which :func:`load_network` rebuilds the network."""

    name = "safetensors"
    file = "model.safetensors"
    packages = ("safetensors",)

    def write(self, folder: Path, network: InferenceNetwork, config: Mapping[str, Any]) -> None:
        """See ``Format``."""
        from safetensors.torch import save

        weights = {name: value.contiguous() for name, value in network.classifier.state_dict().items()}
        (folder / self.file).write_bytes(save(weights, metadata={"format": "pt"}))
        (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def predict(self, folder: Path, x: np.ndarray) -> np.ndarray:
        """See ``Format``."""
        with torch.no_grad():
            # The file was written a moment ago, for a run whose configuration was checked.
            return load_network(folder, trust=True)(torch.from_numpy(x)).numpy()


def load_network(folder: Path | str, trust: bool = False) -> InferenceNetwork:
    """Load a network that was exported to safetensors.

    Args:
        folder: the folder with ``model.safetensors`` and ``config.json``.
        trust: whether ``config.json`` may import and execute code that is not part of vri_pyro.

    Returns:
        the network in evaluation mode, on the CPU. It maps images [B, H, W, C] or vectors [B, D], of the dtype of the
        training inputs, to class probabilities [B, K].

    Raises:
        UntrustedCode: ``config.json`` names code that is neither part of vri_pyro nor trusted.
        UserError: a file is missing or damaged, or the package ``safetensors`` is missing.
    """
    Safetensors().require()
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in (_CONFIG, Safetensors.file):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}; use a folder written by vri-pyro export --format safetensors")
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        network = build_network(config, config, folder, trust)
        network.classifier.load_state_dict(load_file(folder / Safetensors.file))
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise UserError(f"{folder} has damaged files ({error}); export the run again") from error
    return network

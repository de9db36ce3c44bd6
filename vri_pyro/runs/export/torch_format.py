"""Export to a PyTorch program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vri_pyro.runs.export.format import Format, example
from vri_pyro.runs.inference_network import InferenceNetwork


class Torch(Format):
    """Program of ``torch.export``, with the class names in the extra file ``classes.json``."""

    name = "torch"
    file = "model.pt2"

    def write(self, folder: Path, network: InferenceNetwork, config: Mapping[str, Any]) -> None:
        """See ``Format``."""
        dynamic = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(network, (example(config),), dynamic_shapes=dynamic)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it has the paths of this machine
        torch.export.save(program, folder / self.file, extra_files={"classes.json": json.dumps(config["classes"])})

    def predict(self, folder: Path, x: np.ndarray) -> np.ndarray:
        """See ``Format``."""
        with torch.no_grad():
            return torch.export.load(folder / self.file).module()(torch.from_numpy(x)).numpy()

"""Export to ONNX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vri_pyro
from vri_pyro.runs.export.format import Format, example
from vri_pyro.runs.inference_network import InferenceNetwork


class ONNX(Format):
    """ONNX model with input ``inputs`` and output ``probabilities``; the class names are in its metadata, as JSON."""

    name = "onnx"
    file = "model.onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, folder: Path, network: InferenceNetwork, config: Mapping[str, Any]) -> None:
        """See ``Format``."""
        program = torch.onnx.export(
            network,
            (example(config),),
            input_names=["inputs"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # without a path, the exporter returns the program
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces with the paths of this machine
        program.model.metadata_props.update(
            {"classes": json.dumps(config["classes"]), "vri_pyro": vri_pyro.__version__}
        )
        program.save(folder / self.file)

    def predict(self, folder: Path, x: np.ndarray) -> np.ndarray:
        """See ``Format``."""
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / self.file, providers=["CPUExecutionProvider"])
        return session.run(["probabilities"], {"inputs": x})[0]

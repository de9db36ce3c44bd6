"""What a run is for: its trained classifier, ready for new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vri_pyro.data import DeviceData
from vri_pyro.data.validation import check_array
from vri_pyro.runs.parsing import configuration_parser, read_configuration
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.ensemble import build_classifier
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError


class Predictor:
    """A run's classifier with the standardisation that it was trained with.

    It is what the run was tested by: the moving average where there was one, and all networks of an ensemble.

    Args:
        run: the run folder.
        which: "last" epoch, or "best" on the validation set.
        device: where to compute.

    Attributes:
        classifier: the network itself, in evaluation mode.
        classes: names of the classes.

    Raises:
        UserError: the folder holds no such checkpoint.
    """

    def __init__(self, run: Path | str, which: Literal["last", "best"] = "last", device: str = "cpu") -> None:
        if which not in ("last", "best"):
            raise UserError(f"which is '{which}'; choose 'last' or 'best'")
        folder = RunFolder(run)
        inputs = folder.read_inputs()
        self.device = torch.device(device)
        self.classes = tuple(inputs["classes"])
        self.mean, self.std = (np.array(inputs[name], dtype=np.float32) for name in ("mean", "std"))
        self.shape, self.dtype = tuple(inputs["shape"]), inputs["dtype"]
        fit = configuration_parser()
        options = fit.instantiate(read_configuration(fit, folder.config))
        self._crop = options.augmentation.evaluation()
        seen = self._crop.output_shape(self.shape, np.dtype(self.dtype))
        self.classifier = build_classifier(options.backbone, seen, len(self.classes), options.networks)
        state = load_checkpoint(folder.best if which == "best" else folder.last)
        self.classifier.load_state_dict(state["classifier"])
        self.classifier.to(self.device).eval()

    @torch.no_grad()
    def predict(self, x: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Class probabilities.

        Args:
            x: inputs as those trained on: images [N, H, W, C] or [N, H, W], or vectors [N, D].
            batch_size: examples a pass.

        Returns:
            float32 [N, K]; rows sum to 1.

        Raises:
            UserError: the inputs have another shape or dtype than is usable, or are not finite.
        """
        x = check_array("x", x)
        shape = (x.shape[3], *x.shape[1:3]) if x.ndim == 4 else x.shape[1:]
        if shape != self.shape or str(x.dtype) != self.dtype:
            raise UserError(
                f"x holds {x.dtype} inputs of shape {list(shape)} but the run was trained on {self.dtype} inputs of "
                f"shape {list(self.shape)}; give them as they were in training"
            )
        data = DeviceData(x, np.zeros(len(x), dtype=np.int64), self.device, self.mean, self.std, self._crop)
        starts = range(0, len(x), batch_size)
        batches = [np.arange(start, min(start + batch_size, len(x))) for start in starts]
        return torch.cat([self.classifier(data.batch(i).x).logits.softmax(-1) for i in batches]).cpu().numpy()

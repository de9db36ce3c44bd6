"""Predict class probabilities of new inputs with the classifier of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vri_pyro.backbones.default_backbone import default_backbone
from vri_pyro.data import DeviceData
from vri_pyro.data.validation import check_array
from vri_pyro.runs.parsing import configuration_parser, read_configuration
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.ensemble import build_classifier
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError


class Predictor:
    """Predicts with the trained classifier of a run, and standardises inputs as in training.

    The classifier is the one that was evaluated in the run: the moving average if the run has one, and the average
    over all networks of an ensemble.

    Args:
        run: run folder.
        which: checkpoint to use: "last" for the last epoch, "best" for the best epoch on the validation set.
        device: PyTorch device to compute on.

    Attributes:
        classifier: the classifier in evaluation mode.
        classes: names of the classes.
        mean, std: standardisation of the inputs, float32, [channels or features] each.
        shape: shape of one training input: [channels, height, width] or [features].
        dtype: dtype of the training inputs, such as "uint8".

    Raises:
        UserError: ``which`` is invalid, or the folder is not a run folder or lacks the checkpoint.
    """

    def __init__(self, run: Path | str, which: Literal["last", "best"] = "last", device: str = "cpu") -> None:
        if which not in ("last", "best"):
            raise UserError(f"which is '{which}'; expected 'last' or 'best'")
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
        self.classifier = build_classifier(
            options.backbone or default_backbone, seen, len(self.classes), options.networks
        )
        state = load_checkpoint(folder.best if which == "best" else folder.last)
        self.classifier.load_state_dict(state["classifier"])
        self.classifier.to(self.device).eval()

    @torch.no_grad()
    def predict(self, x: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Predict class probabilities.

        Args:
            x: inputs with the shape and dtype of the training inputs: images [N, H, W, C] or [N, H, W], or vectors
                [N, D].
            batch_size: number of examples per forward pass.

        Returns:
            class probabilities, float32 [N, K]; each row sums to 1.

        Raises:
            UserError: the inputs have another shape or dtype than the training inputs, or are non-finite.
        """
        x = check_array("x", x)
        shape = (x.shape[3], *x.shape[1:3]) if x.ndim == 4 else x.shape[1:]
        if shape != self.shape or str(x.dtype) != self.dtype:
            raise UserError(
                f"x has {x.dtype} inputs of shape {list(shape)} but the run was trained on {self.dtype} inputs of "
                f"shape {list(self.shape)}; use inputs of the same dtype and shape"
            )
        data = DeviceData(x, np.zeros(len(x), dtype=np.int64), self.device, self.mean, self.std, self._crop)
        starts = range(0, len(x), batch_size)
        batches = [np.arange(start, min(start + batch_size, len(x))) for start in starts]
        return torch.cat([self.classifier(data.batch(i).x).logits.softmax(-1) for i in batches]).cpu().numpy()

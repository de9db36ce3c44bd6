"""Predict class probabilities of new inputs with the classifier of a run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vri_pyro.data import Inputs, Streamed, read_batches
from vri_pyro.data.validation import check_inputs
from vri_pyro.runs.inference_network import NETWORK_OPTIONS, build_network
from vri_pyro.runs.own_runs import is_own_run
from vri_pyro.runs.parsing import read_options
from vri_pyro.training.checkpoint import load_configured, restoring
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import MOST_PROCESSES, check_integer


class Predictor:
    """Predicts with the trained classifier of a run, and standardises inputs as in training.

    The classifier is the one that was evaluated in the run: the moving average if the run has one, and the average
    over all networks of an ensemble. The training data are not needed.

    Args:
        run: run folder.
        which: checkpoint to use: "last" for the last epoch, "best" for the best epoch on the validation set.
        device: PyTorch device to compute on.
        trust: whether ``config.yaml`` may import and execute code that is not part of vri_pyro, such as a backbone of
            your own. Runs that you made with ``vri-pyro fit`` in the working directory always may.

    Attributes:
        network: maps inputs to class probabilities; a :class:`~vri_pyro.runs.inference_network.InferenceNetwork` in
            evaluation mode.
        classifier: the classifier in this network.
        classes: names of the classes.
        mean, std: standardisation of the inputs, float32, [channels or features] each.
        shape: shape of one training input: [channels, height, width] or [features].
        dtype: dtype of the training inputs, such as "uint8".
        inputs: content of ``inputs.json`` of the run.
        options: content of ``config.yaml`` of the run, with current names.
        trust: whether ``options`` may name any code.

    Raises:
        UntrustedCode: the backbone or the augmentation is neither part of vri_pyro nor trusted.
        UserError: ``which`` is invalid, or the folder is not a run folder or lacks the checkpoint.
    """

    def __init__(
        self, run: Path | str, which: Literal["last", "best"] = "last", device: str = "cpu", trust: bool = False
    ) -> None:
        if which not in ("last", "best"):
            raise UserError(f"which is {which!r}; expected 'last' or 'best'")
        folder = RunFolder(run)
        self.inputs: dict[str, Any] = folder.read_inputs()
        self.options: dict[str, Any] = read_options(folder)
        self.trust = trust or is_own_run(folder.path)
        try:
            self.device = torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise UserError(f"device is {device!r}; expected 'cpu' or 'cuda'") from error
        self.classes = tuple(self.inputs["classes"])
        self.mean, self.std = (np.array(self.inputs[name], dtype=np.float32) for name in ("mean", "std"))
        self.shape, self.dtype = tuple(self.inputs["shape"]), self.inputs["dtype"]
        if which == "best" and folder.last.is_file() and not folder.best.is_file():
            raise UserError(f"{run} has no best epoch because it has no validation set; use which='last'")
        self.network = build_network(self.inputs, self.options, folder.config, self.trust)
        file = folder.best if which == "best" else folder.last
        state = load_configured(file, folder.config, NETWORK_OPTIONS)
        self.classifier = self.network.classifier
        with restoring(file):
            self.classifier.load_state_dict(state["classifier"])
        self.network.to(self.device)

    def predict(self, x: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Predict class probabilities.

        Args:
            x: inputs with the shape and dtype of the training inputs: images [N, H, W, C] or [N, H, W], or vectors
                [N, D].
            batch_size: number of examples per forward pass.

        Returns:
            class probabilities, float64 [N, K]; each row sums to 1.

        Raises:
            UserError: the inputs have another shape or dtype than the training inputs, or are non-finite.
        """
        return np.concatenate(list(self.predict_batches(x, batch_size)))

    def predict_batches(self, inputs: Inputs, batch_size: int = 1000, workers: int = 0) -> Iterator[np.ndarray]:
        """Predict class probabilities batch by batch, for inputs that do not fit into memory.

        Args:
            inputs: as in :meth:`predict`, or streamed images such as :class:`~vri_pyro.data.ImageFiles`.
            batch_size: number of examples per batch.
            workers: number of worker processes that read streamed images; 0 reads them in this process.

        Returns:
            an iterator over the class probabilities of successive batches, float64 [n, K]. The row of an unreadable
            image is NaN, with a warning that names the image.

        Raises:
            UserError: ``batch_size`` or ``workers`` is out of range; or see :meth:`predict`.
        """
        check_integer("batch_size", batch_size, 1)
        check_integer("workers", workers, 0, MOST_PROCESSES)
        inputs = check_inputs("x", inputs)
        shape = (inputs.shape[3], *inputs.shape[1:3]) if inputs.ndim == 4 else inputs.shape[1:]
        if shape != self.shape or str(inputs.dtype) != self.dtype:
            raise UserError(
                f"x has {inputs.dtype} inputs of shape {list(shape)} but the run was trained on {self.dtype} inputs of "
                f"shape {list(self.shape)}; use inputs of the same dtype and shape"
            )
        if isinstance(inputs, Streamed):
            return self._streamed(inputs, batch_size, workers)
        return map(self._probabilities, (inputs[i : i + batch_size] for i in range(0, len(inputs), batch_size)))

    def _streamed(self, images: Streamed, batch_size: int, workers: int) -> Iterator[np.ndarray]:
        workers = workers if len(images) > batch_size else 0  # a single batch is read sooner than workers start
        for batch, unreadable in read_batches(images, batch_size, workers):
            probabilities = self._probabilities(batch)
            for position, why in unreadable:
                probabilities[position] = np.nan
                warnings.warn(why, stacklevel=2)
            yield probabilities

    @torch.no_grad()
    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        # A copy, because the array may be read-only, and because its strides may affect the last bits of the result.
        batch = torch.from_numpy(np.array(x, order="C")).to(self.device)
        return self.network.logits(batch).double().softmax(-1).cpu().numpy()  # small ones would be 0 in float32

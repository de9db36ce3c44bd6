"""Load a run from its folder: classifier, model, guide, data and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import nn

from vri_pyro.backbones.pretrained_weights import without_pretrained_weights
from vri_pyro.data import Split
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.runs.building import build_trainer
from vri_pyro.runs.parsing import USED, configuration_parser, read_run
from vri_pyro.runs.restoring import restore_data
from vri_pyro.training.checkpoint import load_configured, restoring
from vri_pyro.training.ensemble import Ensemble, EnsembleAlgorithm
from vri_pyro.training.loggers import Rows
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import MAIN
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer
from vri_pyro.utils.one_at_a_time import one_at_a_time


class Run:
    """A run restored from its last checkpoint, with its classifier, model, guide, data and split.

    The run is rebuilt from ``config.yaml`` in its folder, and its data are loaded again. They must be the data on which
    it was trained, also at another place. PyTorch's random state does not change.

    Args:
        folder: run folder.
        network: index of the network of an ensemble to restore, with its own model and guide; from 0.
        device: device to compute on: "auto", "cpu" or "cuda".
        trust: whether ``config.yaml`` may import and execute code that is not part of vri_pyro, such as a prior of your
            own. Runs that you made with ``vri-pyro fit`` in the working directory always may.
        data: new places of data that have moved, by option of the data source, such as {"path": "moved/data.npz"}.

    Attributes:
        algorithms: algorithms of all stages by name, in the order of training.
        algorithm: algorithm of the main stage.
        classifier: the classifier that computes the inputs of model and guide, in evaluation mode. It is the predictor,
            or the chosen network of an ensemble. In contrast, ``algorithm.classifier`` has the weights after the last
            step.
        model, guide: model and guide of ``algorithm``, in evaluation mode; see :attr:`has_pair`.
        predictor: the network that was evaluated in the run: the moving average if the run has one, and the whole
            ensemble if it has several networks. In a :class:`~vri_pyro.VRIClassifier` that mixes methods, the mixture.
        examples: training inputs, with the labels used in training; the indices of the split refer to them.
        test: test inputs and labels; None without a test set.
        split: noisy, clean and validation examples, with given labels and, if known, true labels.
        trained_on: positions of the examples in the noisy batches of all stages, int64, ascending. The clean batches
            are not included.
        classes: names of the classes.
        rows: metrics of the completed epochs, one row per epoch, as in ``metrics.csv``.
        epochs: number of completed epochs.
        all_epochs: total number of epochs of the run.
        begun: whether the main stage has begun; otherwise, its model and guide are untrained.
        preparatory: names of the preparatory stages.

    Raises:
        UntrustedCode: ``config.yaml`` names code that is neither part of vri_pyro nor trusted.
        UserError: the folder is not a run folder, its data are missing or have changed, or ``network`` is out of range.
    """

    def __init__(
        self,
        folder: Path | str,
        network: int = 0,
        device: Literal["auto", "cpu", "cuda"] = "cpu",
        trust: bool = False,
        data: Mapping[str, Path | str] = MappingProxyType({}),
    ) -> None:
        check_integer("network", network)
        choose_device(device)
        files = RunFolder(folder)
        classes = files.read_inputs()["classes"]  # raises if it is not a run folder
        trainer, split = _restored(files, device, trust, data)
        if len(classes) != split.num_classes:
            raise UserError(
                f"{files.inputs} has {len(classes)} classes but {files.split.name} has {split.num_classes}; copy the "
                "whole run folder, or train again"
            )
        self._take(trainer, split, classes, network)

    @classmethod
    def of_trainer(
        cls,
        trainer: Trainer,
        split: Split,
        classes: Sequence[str],
        network: int = 0,
        predictor: Classifier | None = None,
    ) -> Run:
        """Return the run of a trainer that has finished, without loading its checkpoint.

        Its ``predictor`` may be another one than the trainer's own.
        """
        run = cls.__new__(cls)
        run._take(trainer, split, classes, network)
        run.predictor = run.predictor if predictor is None else predictor.eval()
        return run

    def _take(self, trainer: Trainer, split: Split, classes: Sequence[str], network: int) -> None:
        self._folder, self.split, self.classes = trainer.folder, split, tuple(classes)
        self.algorithms = {stage.name: _algorithm(stage.algorithm, network) for stage in trainer.stages}
        self.trained_on = np.unique(np.concatenate([stage.pool for stage in trainer.stages]))
        self.algorithm = self.algorithms[MAIN]
        self.algorithm.classifier.eval()
        predictor = trainer.ema.network.eval()
        self.predictor: Classifier = predictor
        self.classifier = predictor.member(network) if isinstance(predictor, Ensemble) else predictor
        self.model, self.guide = self.algorithm.model.eval(), self.algorithm.guide.eval()
        self.examples, self.test = trainer.data.train, trainer.data.test
        self.rows: Rows = trainer.state.rows
        self.epochs, self.all_epochs, self.preparatory = trainer.state.epoch, trainer.epochs, trainer.preparatory
        before = list(self.algorithms).index(MAIN)
        self.begun = (self.epochs, trainer.state.step) > (sum(stage.epochs for stage in trainer.stages[:before]), 0)

    @property
    def folder(self) -> RunFolder:
        """The run folder.

        Raises:
            UserError: the run was trained in memory, without a folder.
        """
        if self._folder is None:
            raise UserError("this run has no folder; train with vri-pyro fit to get one")
        return self._folder

    @property
    def name(self) -> str:
        """The path of the run folder, for messages."""
        return "the run in memory" if self._folder is None else str(self._folder.path)

    @property
    def has_pair(self) -> bool:
        """Whether the method has a model and a guide (ELR, for example, has none) and their training has begun."""
        return self.begun and type(self.model) is not nn.Module

    @property
    def state(self) -> str | None:
        """Sentence about the progress of an unfinished run; None if the run is finished."""
        if self.epochs == self.all_epochs:
            return None
        return f"The run is not finished: {self.epochs} of {self.all_epochs} epochs are complete."

    @torch.no_grad()
    def outputs(self, indices: np.ndarray, batch_size: int = 1000) -> Iterator[tuple[ClassifierOutput, Batch]]:
        """Compute classifier outputs on training examples, for use with model and guide: ``guide(output, batch.y)``.

        Args:
            indices: positions of the examples, int64 [n], such as ``split.noisy_indices``.
            batch_size: number of examples per forward pass.

        Yields:
            the classifier's output (logits, features, positions, and inputs if the guide uses them, without an autograd
            graph), and the batch with the labels used in training.
        """
        check_integer("batch_size", batch_size, 1)
        known = len(self.examples.y)
        if indices.dtype.kind not in "iu":
            raise UserError(f"indices has dtype {indices.dtype}; expected integers, positions of training examples")
        if len(outside := indices[(indices < 0) | (indices >= known)]):
            raise UserError(f"indices has {outside[0]}; the positions of training examples are 0 to {known - 1}")
        for batch in self.examples.in_order(indices, batch_size):
            inputs = batch.x if getattr(self.guide, "uses_inputs", False) else None
            yield self.classifier(batch.x)._replace(index=batch.index, inputs=inputs), batch


@one_at_a_time
def _restored(
    folder: RunFolder, device: Literal["auto", "cpu", "cuda"], trust: bool, data: Mapping[str, Path | str]
) -> tuple[Trainer, Split]:
    """Restore trainer and split of a run from its last checkpoint; PyTorch's random state does not change."""
    configuration = replace(read_run(configuration_parser(), folder, trust, data), output=folder.path, device=device)
    state = load_configured(folder.last, folder.config, USED)
    arrays, split, standardisation, _ = restore_data(configuration, folder)
    used = choose_device(device)
    with torch.random.fork_rng(devices=[used] if used.type == "cuda" else []):
        with without_pretrained_weights():
            trainer = build_trainer(configuration, folder, arrays, split, standardisation, identity="")
        with restoring(folder.last):
            trainer.load_state_dict(state)
    return trainer, split


def _algorithm(algorithm: Algorithm, network: int) -> Algorithm:
    members = algorithm.members if isinstance(algorithm, EnsembleAlgorithm) else [algorithm]
    if not 0 <= network < len(members):
        raise UserError(
            f"network is {network} but the run has {len(members)} networks; "
            f"expected a value from 0 to {len(members) - 1}"
        )
    return members[network]

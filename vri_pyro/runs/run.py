"""A run as it ended: classifier, model, guide, data and split, to look into what was learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from vri_pyro.data import Split, mean_and_std
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.runs.building import build_trainer, load_data
from vri_pyro.runs.parsing import build_configuration, configuration_parser, read_configuration
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.ensemble import Ensemble, EnsembleAlgorithm
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import MAIN
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.errors import UserError


class Run:
    """What a run trained and what it trained on, restored from its folder at the last checkpoint.

    Everything is built by the code that built it for training, from the folder's ``config.yaml``, so the data must be
    where they were. PyTorch's random state is left as it was.

    Args:
        folder: the run folder.
        network: which of an ensemble's networks to look into, with its own model and guide.
        device: where to compute: "auto", "cpu" or "cuda".

    Attributes:
        algorithms: of each stage of the run, by its name, in the order of training.
        algorithm: that of the run's own method, after a warm-up or earlier stages and before any fine-tuning.
        classifier: the network that model and guide look at, in evaluation mode: the predictor, or of an ensemble's
            predictor the one that is asked for. ``algorithm.classifier`` has the last step's weights.
        model, guide: the algorithm's pair, in evaluation mode; see :attr:`has_pair`.
        predictor: what the run was tested by: the moving average of the trained network where there is one, and all
            networks of an ensemble.
        examples: the training inputs with the labels that training saw; positions are those of the split.
        test: test inputs and labels.
        split: which examples are noisy, clean and held out, with given and, where known, true labels.
        trained_on: positions of the examples that its phases draw their batches from, but for those of a clean batch
            beside them, int64, in order.
        classes: names of the classes.
        epochs: how many were done.
        all_epochs: how many the run has.
        begun: whether training has reached the method itself; before, its model and guide have learned nothing.
        preparatory: names of the phases that only prepare another.

    Raises:
        UserError: the folder holds no run, its data are not there any more, or there is no such network.
    """

    def __init__(self, folder: Path | str, network: int = 0, device: Literal["auto", "cpu", "cuda"] = "cpu") -> None:
        self._take(*_restored(RunFolder(folder), device), network)

    @classmethod
    def of_trainer(cls, trainer: Trainer, split: Split, network: int = 0) -> Run:
        """The run that a trainer has just completed, without reading its folder again."""
        run = cls.__new__(cls)
        run._take(trainer, split, network)
        return run

    def _take(self, trainer: Trainer, split: Split, network: int) -> None:
        self.folder, self.split = trainer.folder, split
        self.classes = tuple(self.folder.read_inputs()["classes"])
        self.algorithms = {stage.name: _algorithm(stage.algorithm, network) for stage in trainer.stages}
        self.trained_on = np.unique(np.concatenate([stage.pool for stage in trainer.stages]))
        self.algorithm = self.algorithms[MAIN]
        self.algorithm.classifier.eval()
        self.predictor = predictor = trainer.ema.network.eval()
        self.classifier = predictor.member(network) if isinstance(predictor, Ensemble) else predictor
        self.model, self.guide = self.algorithm.model.eval(), self.algorithm.guide.eval()
        self.examples, self.test = trainer.data.train, trainer.data.test
        self.epochs, self.all_epochs, self.preparatory = trainer.state.epoch, trainer.epochs, trainer.preparatory
        before = list(self.algorithms).index(MAIN)
        self.begun = (self.epochs, trainer.state.step) > (sum(stage.epochs for stage in trainer.stages[:before]), 0)

    @property
    def has_pair(self) -> bool:
        """Whether the method has a model and a guide to run, and they are trained; a peer such as ELR has none."""
        return self.begun and type(self.model) is not nn.Module

    @property
    def state(self) -> str | None:
        """What to say before judging a run that has not ended; None of one that has."""
        if self.epochs == self.all_epochs:
            return None
        return f"The run has not ended; this is how it stood after {self.epochs} of {self.all_epochs} epochs."

    @torch.no_grad()
    def outputs(self, indices: np.ndarray, batch_size: int = 1000) -> Iterator[tuple[ClassifierOutput, Batch]]:
        """What the classifier makes of training examples, ready for model and guide: ``guide(output, batch.y)``.

        Args:
            indices: positions of the examples, int64 [n], such as ``split.noisy_indices``.
            batch_size: examples a pass.

        Yields:
            logits, features and positions of a batch, without a graph, and the batch with the labels that training saw.
        """
        for batch in self.examples.in_order(indices, batch_size):
            yield self.classifier(batch.x)._replace(index=batch.index), batch


def _restored(folder: RunFolder, device: Literal["auto", "cpu", "cuda"]) -> tuple[Trainer, Split]:
    """The trainer and the split of a run at its last checkpoint; PyTorch's random state is left as it was."""
    folder.read_inputs()  # refuses a folder that holds no run
    parser = configuration_parser()
    options = read_configuration(parser, folder.config)
    options.output, options.device = folder.path, device
    configuration = build_configuration(parser, options)
    state = load_checkpoint(folder.last)
    arrays, split = load_data(configuration, folder.split)
    used = choose_device(device)
    with torch.random.fork_rng(devices=[used] if used.type == "cuda" else []):
        trainer = build_trainer(configuration, folder, arrays, split, mean_and_std(arrays.x_train), identity="")
        trainer.load_state_dict(state)
    return trainer, split


def _algorithm(algorithm: Algorithm, network: int) -> Algorithm:
    members = algorithm.members if isinstance(algorithm, EnsembleAlgorithm) else [algorithm]
    if not 0 <= network < len(members):
        raise UserError(f"network is {network} but the run has {len(members)}; give a number below that")
    return members[network]

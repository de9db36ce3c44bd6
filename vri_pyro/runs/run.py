"""A run as it ended: classifier, model, guide, data and split, to look into what was learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.runs.configuration import build_experiment, experiment_parser
from vri_pyro.training.ensemble import Ensemble, EnsembleLearner
from vri_pyro.utils.errors import UserError
from vri_pyro.data.batch import Labelled
from vri_pyro.infer.learner import Learner
from vri_pyro.training.phases import MAIN
from vri_pyro.training.run_folder import RunFolder


class TrainedRun:
    """What a run trained and what it trained on, restored from its folder at the last checkpoint.

    Everything is built by the code that built it for training, from the folder's ``config.yaml``, so the data must be
    where they were. PyTorch's random state is left as it was.

    Args:
        folder: the run folder.
        network: which of an ensemble's networks to look into, with its own model and guide.
        device: where to compute: "auto", "cpu" or "cuda".

    Attributes:
        algorithms: of each phase of the run, by its name, in the order of training.
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
        preparing: names of the phases that only prepare another.

    Raises:
        UserError: the folder holds no run, its data are not there any more, or there is no such network.
    """

    def __init__(self, folder: Path | str, network: int = 0, device: Literal["auto", "cpu", "cuda"] = "cpu") -> None:
        self.folder = RunFolder(folder)
        self.classes = tuple(self.folder.read_inputs()["classes"])
        parser = experiment_parser()
        options = parser.parse_path(str(self.folder.config))
        options.output, options.device = self.folder.path, device
        trainer, self.split = build_experiment(parser, options).restore()
        self.algorithms = {phase.name: _algorithm(phase.learner, network) for phase in trainer.phases}
        self.trained_on = np.unique(np.concatenate([phase.pool for phase in trainer.phases]))
        self.algorithm = self.algorithms[MAIN]
        self.algorithm.classifier.eval()
        self.predictor = predictor = trainer.predictor.network.eval()
        self.classifier = predictor.member(network) if isinstance(predictor, Ensemble) else predictor
        self.model, self.guide = self.algorithm.model.eval(), self.algorithm.guide.eval()
        self.examples, self.test = trainer.material.train, trainer.material.test
        self.epochs, self.all_epochs, self.preparing = trainer.progress.epoch, trainer.epochs, trainer.preparing
        before = list(self.algorithms).index(MAIN)
        self.begun = (self.epochs, trainer.progress.step) > (sum(phase.epochs for phase in trainer.phases[:before]), 0)

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
    def outputs(self, indices: np.ndarray, batch_size: int = 1000) -> Iterator[tuple[ClassifierOutput, Labelled]]:
        """What the classifier makes of training examples, ready for model and guide: ``guide(output, batch.y)``.

        Args:
            indices: positions of the examples, int64 [n], such as ``split.noisy_indices``.
            batch_size: examples a pass.

        Yields:
            logits, features and positions of a batch, without a graph, and the batch with the labels that training saw.
        """
        for batch in self.examples.in_order(indices, batch_size):
            yield self.classifier(batch.x)._replace(index=batch.index), batch


def _algorithm(learner: Learner, network: int) -> Algorithm:
    learners = learner.learners if isinstance(learner, EnsembleLearner) else [learner]
    if not 0 <= network < len(learners):
        raise UserError(f"network is {network} but the run has {len(learners)}; give a number below that")
    return cast(Algorithm, learners[network])

"""Logger that calls the instruments after each epoch and writes their figures to the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from instruments.belief import belief
from instruments.gates import gates
from instruments.gradients import gradients
from instruments.memorisation import accuracy, memorisation
from instruments.rectifier import rectifier
from instruments.seen import Figures, Seen, look
from instruments.transition import reference, transition
from vri_pyro.data import Split
from vri_pyro.runs.run import Run
from vri_pyro.training.ensemble import EnsembleAlgorithm
from vri_pyro.training.loggers import Logger, Row, Rows
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import MAIN
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.numbers import check_integer

FILE = "anatomy.json"
INSTRUMENTS = {
    "memorisation": memorisation,
    "transition": transition,
    "belief": belief,
    "gates": gates,
    "rectifier": rectifier,
    "gradients": gradients,
}


class Anatomy(Logger):
    """Writes the figures of all instruments to ``anatomy.json`` in the run folder, after each epoch.

    The run is not affected: training modes and random state are restored.

    Args:
        subset: largest number of noisy examples that are looked at.
    """

    def __init__(self, subset: int = 5000) -> None:
        check_integer("subset", subset, 1)
        self.subset = subset

    def watch(self, trainer: Trainer) -> None:
        """Keep the trainer."""
        self._trainer = trainer

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """Read the split and, in a resumed run, the figures of the completed epochs."""
        self._file, self._split = folder.path / FILE, Split.load(folder.split)
        self._classes = folder.read_inputs()["classes"]
        done = json.loads(self._file.read_text())["epochs"] if rows and self._file.exists() else []
        self._epochs: list[Figures] = [one for one in done if one["epoch"] < len(rows)]

    def log(self, row: Row) -> None:
        """Measure, and write all epochs so far."""
        with observed(self._trainer, self._split, self._classes) as run:
            seen = look(run, self.subset)
            self._epochs.append(figures(seen, dict(row)))
            truth = {
                "examples": len(seen.given),
                "wrong": float(seen.wrong.double().mean()),
                "transition": reference(seen.realised),
            }
        content = {"truth": truth, "preparatory": self._trainer.preparatory, "epochs": self._epochs}
        write_atomically(self._file, (json.dumps(content) + "\n").encode())

    def close(self) -> None:
        """See :class:`~vri_pyro.training.loggers.Logger`."""


def figures(seen: Seen, row: dict[str, Any]) -> Figures:
    """Return the figures of one epoch by instrument; those that the method does not have are left out."""
    found = {name: instrument(seen) for name, instrument in INSTRUMENTS.items()}
    known = {name: one for name, one in found.items() if one is not None}
    return {"epoch": row["epoch"], "stage": row["stage"], "parts": accuracy(seen, row), **known}


@contextmanager
def observed(trainer: Trainer, split: Split, classes: list[str]) -> Iterator[Run]:
    """Give the run of a trainer in evaluation mode; training modes and random state are restored on exit.

    Of an ensemble, the run is that of the first network.
    """
    device = trainer.data.train.device
    (algorithm,) = (stage.algorithm for stage in trainer.stages if stage.name == MAIN)
    first = algorithm.members[0] if isinstance(algorithm, EnsembleAlgorithm) else algorithm
    roots = [trainer.classifier, trainer.ema.network, first.model, first.guide]
    modes = {module: module.training for root in roots for module in root.modules()}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(0)
        try:
            yield Run.of_trainer(trainer, split, classes)
        finally:
            for module, training in modes.items():
                module.training = training

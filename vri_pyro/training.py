"""The loop over epochs: batches, schedule, evaluation, checkpoints, logging, and going on after any interruption."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from vri_pyro.algorithm import Algorithm
from vri_pyro.checkpoint import save_checkpoint
from vri_pyro.data import Augmentation, BatchPlan, BatchSequence, Examples, NoAugmentation
from vri_pyro.evaluation import evaluate
from vri_pyro.files import clear_write_errors
from vri_pyro.guard import NonFiniteError
from vri_pyro.interruption import Interrupted, stop_request
from vri_pyro.metrics import Metrics
from vri_pyro.progress import ProgressDisplay
from vri_pyro.run_folder import RunFolder
from vri_pyro.schedules import Schedule

Rows = list[dict[str, Any]]


class Phase(NamedTuple):
    """A stretch of training with one algorithm.

    Attributes:
        name: what the metrics call it.
        algorithm: what takes the steps; all phases train the same classifier.
        pool: the examples its first batch is drawn from.
        epochs: its length.
        views: how many augmented views of the first batch the algorithm asks for.
    """

    name: str
    algorithm: Algorithm
    pool: np.ndarray
    epochs: int
    views: Literal[1, 2] = 1


@dataclass(frozen=True)
class Material:
    """What a run learns from and is judged on.

    Attributes:
        train: all training inputs with the labels that training may see.
        test: test inputs and labels; they never choose anything.
        clean: positions of the clean set in ``train``.
        validation: positions of the held-out examples in ``train``, possibly none.
        augmentation, clean_augmentation: of a step's first batch, and of its clean batch.
    """

    train: Examples
    test: Examples
    clean: np.ndarray
    validation: np.ndarray
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()


@dataclass
class Progress:
    """Where a run is: everything that changes besides the algorithms and the random state.

    Attributes:
        epoch, step: what comes next, from 0; ``step`` within the epoch.
        rows: the metrics of the epochs done.
        sums, counts: of the current epoch's finite step metrics.
        best: validation accuracy of the best epoch so far.
    """

    epoch: int = 0
    step: int = 0
    rows: Rows = field(default_factory=list)
    sums: Metrics = field(default_factory=dict)
    counts: Metrics = field(default_factory=dict)
    best: float = -math.inf

    def add(self, metrics: Metrics) -> None:
        """Add one step's metrics; what a skipped step has of non-finite values does not count."""
        for name, value in metrics.items():
            finite = value.isfinite()
            zero = value.new_zeros(())
            self.sums[name] = self.sums.get(name, zero) + torch.where(finite, value, zero)
            self.counts[name] = self.counts.get(name, zero) + finite.to(value.dtype)

    def means(self) -> dict[str, float]:
        """The current epoch's mean of each metric, not a number where no step had a finite value."""
        names = list(self.sums)
        means = torch.stack([self.sums[n] / self.counts[n] for n in names]) if names else torch.zeros(0)
        return dict(zip(names, means.tolist(), strict=True))


class Trainer:
    """Runs phases one after the other and keeps the run's folder.

    A run killed at any moment goes on from the last checkpoint to the same numbers: the batches are functions of
    the seed and the step, the learning rate of the progress, and everything else is in the checkpoint.

    Args:
        phases: in the order of training.
        material: data.
        folder: where everything is written.
        schedule: factor on the learning rate over each phase.
        steps_per_epoch: the same for every pool, so that methods are compared at equal numbers of steps.
        batch_size, clean_batch_size: examples of the first and the clean batch of a step.
        seed: of the order of the batches.
        config: the configuration as text, kept with every checkpoint.
    """

    def __init__(
        self,
        phases: list[Phase],
        material: Material,
        folder: RunFolder,
        schedule: Schedule,
        steps_per_epoch: int,
        batch_size: int,
        clean_batch_size: int,
        seed: int,
        config: str,
    ) -> None:
        self.phases, self.material, self.folder, self.schedule = phases, material, folder, schedule
        self.steps_per_epoch, self.seed, self.config = steps_per_epoch, seed, config
        self.batch_size, self.clean_batch_size = batch_size, clean_batch_size
        self.classifier = phases[0].algorithm.classifier
        self.progress = Progress()
        self._noisy, self._clean = self._sequences()
        self._rates = [[group["lr"] for group in _optimizer(phase).param_groups] for phase in phases]

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done."""
        return self.progress.epoch >= self.epochs

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, as tensors and plain values."""
        state = {
            "progress": vars(self.progress),
            "phases": [phase.algorithm.state_dict() for phase in self.phases],
            "random": torch.get_rng_state(),
        }
        if (device := self.material.train.device).type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(device)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a :meth:`state_dict`, which may come from another device."""
        self.progress = Progress(**state["progress"])
        device = self.material.train.device
        for totals in (self.progress.sums, self.progress.counts):
            totals.update({name: value.to(device) for name, value in totals.items()})
        for phase, saved in zip(self.phases, state["phases"], strict=True):
            phase.algorithm.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], device)

    def run(self, display: Callable[[int, int], ProgressDisplay]) -> Rows:
        """Train to the end and return the metrics, a row an epoch.

        Args:
            display: makes the progress display from the numbers of epochs and of steps an epoch.

        Raises:
            Interrupted: after saving, when Ctrl-C or SIGTERM asked for it.
            NonFiniteError: when the training broke down; the last checkpoint is intact.
        """
        progress = self.progress
        with (
            clear_write_errors(self.folder.tensorboard),
            stop_request() as stop,
            display(self.epochs, self.steps_per_epoch) as shown,
            SummaryWriter(str(self.folder.tensorboard), purge_step=progress.epoch) as board,
        ):
            while not self.finished:
                phase, started, rates = self._current_phase()
                self.classifier.train()
                while progress.step < self.steps_per_epoch:
                    self._step(phase, started, rates)
                    shown.step(progress.epoch, progress.step - 1)
                    if stop.made:
                        self.save()
                        raise Interrupted
                shown.epoch(self._end_epoch(phase, board))
        self._check_skipped()
        return progress.rows

    @property
    def skipped(self) -> int:
        """Updates refused for not being finite, of all phases together."""
        return sum(phase.algorithm.guard.skipped for phase in self.phases)

    def _check_skipped(self) -> None:
        if self.skipped >= self.epochs * self.steps_per_epoch:
            raise NonFiniteError("no step of this run was finite, so nothing was trained; look at the inputs' scale")
        if self.skipped:
            warnings.warn(f"{self.skipped} updates were skipped because they were not finite", stacklevel=2)

    def save(self) -> None:
        """Write the last checkpoint."""
        save_checkpoint(self.folder.last, self.state_dict(), self.config)

    def _current_phase(self) -> tuple[Phase, int, list[float]]:
        """The phase of the next epoch, the epoch it began with, and its learning rates."""
        started = 0
        for phase, rates in zip(self.phases, self._rates, strict=True):
            if self.progress.epoch < started + phase.epochs:
                return phase, started, rates
            started += phase.epochs
        raise IndexError("the run is over")

    def _step(self, phase: Phase, started: int, rates: list[float]) -> None:
        progress = self.progress
        done = (progress.epoch - started) * self.steps_per_epoch + progress.step
        factor = self.schedule.factor(done / (phase.epochs * self.steps_per_epoch))
        for group, rate in zip(_optimizer(phase).param_groups, rates, strict=True):
            group["lr"] = rate * factor
        step = progress.epoch * self.steps_per_epoch + progress.step
        progress.add(phase.algorithm.step(self._noisy[phase.name](step), self._clean(step)))
        progress.step += 1

    def _sequences(self) -> tuple[dict[str, BatchSequence], BatchSequence]:
        """The first batches of each phase's steps, and the clean batches of all."""
        train, augmentation = self.material.train, self.material.augmentation
        plans = {
            phase.name: BatchPlan(phase.pool, self.batch_size, self.seed, "noisy batches", augmentation, phase.views)
            for phase in self.phases
        }
        clean = BatchPlan(
            self.material.clean, self.clean_batch_size, self.seed, "clean batches", self.material.clean_augmentation
        )
        return {name: train.sequence(plan) for name, plan in plans.items()}, train.sequence(clean)

    def _end_epoch(self, phase: Phase, board: SummaryWriter) -> dict[str, Any]:
        """Evaluate and record; the last checkpoint comes last, so that a kill in between repeats all of it."""
        row = self._evaluated(phase)
        progress = self.progress
        progress.rows.append(row)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.sums, progress.counts = {}, {}
        if row.get("validation_accuracy", -math.inf) > progress.best:
            progress.best = row["validation_accuracy"]
            best = {"classifier": self.classifier.state_dict(), "epoch": row["epoch"]}
            save_checkpoint(self.folder.best, best, self.config)
        self.folder.write_metrics(progress.rows)
        _log(board, row)
        self.save()
        return row

    def _evaluated(self, phase: Phase) -> dict[str, Any]:
        progress, material = self.progress, self.material
        row: dict[str, Any] = {"epoch": progress.epoch, "phase": phase.name, **progress.means()}
        row["learning_rate"] = max(group["lr"] for group in _optimizer(phase).param_groups)
        row["skipped"] = phase.algorithm.guard.skipped
        if len(material.validation):
            found = evaluate(self.classifier, material.train, material.validation)
            row |= {f"validation_{name}": value for name, value in found.items()}
        return row | {f"test_{name}": value for name, value in evaluate(self.classifier, material.test).items()}


def _optimizer(phase: Phase) -> torch.optim.Optimizer:
    return phase.algorithm.classifier_optimizer


def _log(board: SummaryWriter, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if name not in ("epoch", "phase") and isinstance(value, float | int):
            board.add_scalar(name, value, row["epoch"])
    board.flush()

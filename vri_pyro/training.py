"""The loop over epochs: batches, schedule, evaluation, checkpoints, logging, and going on after any interruption."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from vri_pyro.checkpoint import save_checkpoint
from vri_pyro.epoch_view import EpochView
from vri_pyro.evaluation import evaluate
from vri_pyro.files import clear_write_errors
from vri_pyro.guard import NonFiniteError
from vri_pyro.interruption import Interrupted, stop_request
from vri_pyro.phase import Material, Phase
from vri_pyro.phase_batches import PhaseBatches
from vri_pyro.progress import ProgressDisplay
from vri_pyro.run_folder import RunFolder
from vri_pyro.run_state import Progress, Rows
from vri_pyro.schedules import Schedule


class Trainer:
    """Runs phases one after the other and keeps the run's folder.

    A run killed at any moment goes on from the last checkpoint to the same numbers: the batches are functions of
    the seed, the step and the current pools, the learning rate of the progress, and everything else is in the
    checkpoint.

    Args:
        phases: in the order of training.
        material: data.
        folder: where everything is written.
        schedule: factor on the learning rate over each phase that has none of its own.
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
        self._batches = self._batches_of(phases[0])
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
            "pools": self._batches.state_dict(),
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
        if not self.finished:
            self._batches = self._batches_of(self._current_phase()[0])
            self._batches.load_state_dict(state["pools"])
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
                if progress.step == 0:
                    self._begin_epoch(phase, started)
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

    @property
    def structural_zeros(self) -> list[str]:
        """The parameter groups that no hypergradient reached, of all phases together."""
        found = (getattr(phase.algorithm, "structural_zeros", None) or () for phase in self.phases)
        return list(dict.fromkeys(name for names in found for name in names))

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

    def _begin_epoch(self, phase: Phase, started: int) -> None:
        """Let the algorithm look at the run and choose other pools, which hold until it chooses again."""
        epoch = self.progress.epoch - started
        if epoch == 0:
            self._batches = self._batches_of(phase)
        view = EpochView(
            examples=self.material.train,
            pools=self._batches.own,
            epoch=epoch,
            epochs=phase.epochs,
            batch_size=self.batch_size,
            num_classes=self.classifier.num_classes,
            seed=self.seed,
        )
        if (pools := phase.algorithm.begin_epoch(view)) is not None:
            self._batches.draw_from(pools)

    def _batches_of(self, phase: Phase) -> PhaseBatches:
        return PhaseBatches(phase, self.material, self.batch_size, self.clean_batch_size, self.seed)

    def _step(self, phase: Phase, started: int, rates: list[float]) -> None:
        progress = self.progress
        done = (progress.epoch - started) * self.steps_per_epoch + progress.step
        factor = (phase.schedule or self.schedule).factor(done / self.steps_per_epoch, phase.epochs)
        for group, rate in zip(_optimizer(phase).param_groups, rates, strict=True):
            group["lr"] = rate * factor
        step = progress.epoch * self.steps_per_epoch + progress.step
        progress.add(phase.algorithm.step(*self._batches(step)))
        progress.step += 1

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

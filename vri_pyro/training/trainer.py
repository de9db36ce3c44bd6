"""The loop over epochs: batches, schedule, evaluation, checkpoints, logging, and going on after any interruption."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.training_context import EpochView
from vri_pyro.training.batches import PhaseBatches
from vri_pyro.training.checkpoint import save_checkpoint
from vri_pyro.training.ema import Predictor
from vri_pyro.training.evaluation import evaluate
from vri_pyro.training.phase import Material, Phase
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.state import Progress, Rows
from vri_pyro.utils.files import clear_write_errors
from vri_pyro.utils.interruption import Interrupted, stop_request
from vri_pyro.utils.progress import ProgressDisplay


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
        ema: decay of a moving average of the classifier, which then is what predicts.
        evaluate_every: epochs from one look at the validation and test sets to the next; the last epoch has one.
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
        ema: float | None = None,
        evaluate_every: int = 1,
    ) -> None:
        self.phases, self.material, self.folder, self.schedule = phases, material, folder, schedule
        self.steps_per_epoch, self.seed, self.config = steps_per_epoch, seed, config
        self.batch_size, self.clean_batch_size = batch_size, clean_batch_size
        self.evaluate_every = evaluate_every
        self.classifier = phases[0].learner.classifier
        self.predictor = Predictor(self.classifier, ema)
        self.progress = Progress()
        self._batches = self._batches_of(phases[0])
        self._rates = [[group["lr"] for group in phase.learner.param_groups] for phase in phases]

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
            "phases": [phase.learner.state_dict() for phase in self.phases],
            "classifier": self.predictor.network.state_dict(),
            "average": self.predictor.state_dict(),
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
            phase.learner.load_state_dict(saved)
        self.predictor.load_state_dict(state["average"])
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
                shown.epoch(self._end_epoch(phase, started, board))
        self._check_skipped()
        return progress.rows

    @property
    def skipped(self) -> int:
        """Updates refused for not being finite, of all phases together."""
        return sum(phase.learner.skipped for phase in self.phases)

    @property
    def preparing(self) -> list[str]:
        """The phases that only prepare another."""
        return [phase.name for phase in self.phases if phase.prepares]

    @property
    def structural_zeros(self) -> list[str]:
        """The parameter groups that no hypergradient reached, of all phases together."""
        found = (phase.learner.structural_zeros or () for phase in self.phases)
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
        """Settle what the epoch's batches are drawn from: the selection's clean set, and the learner's own choice."""
        epoch, train = self.progress.epoch - started, self.material.train
        if epoch == 0:
            self._batches = self._batches_of(phase)
            self.predictor.begin_phase()
        pools = self._batches.own
        if phase.selection is not None:
            pools = pools._replace(clean=phase.selection(self.predictor.network, train, pools.noisy))
            self._batches.draw_from(self._batches.pools._replace(clean=pools.clean))
        view = EpochView(
            train,
            pools,
            epoch,
            phase.epochs,
            self.batch_size,
            self.classifier.num_classes,
            self.seed,
            self.predictor.network,
            untrained=self.progress.epoch == 0,
        )
        if (chosen := phase.learner.begin_epoch(view)) is not None:
            self._batches.draw_from(chosen)

    def _batches_of(self, phase: Phase) -> PhaseBatches:
        return PhaseBatches(phase, self.material, self.batch_size, self.clean_batch_size, self.seed)

    def _step(self, phase: Phase, started: int, rates: list[float]) -> None:
        progress = self.progress
        done = (progress.epoch - started) * self.steps_per_epoch + progress.step
        factor = (phase.schedule or self.schedule).factor(done / self.steps_per_epoch, phase.epochs)
        for group, rate in zip(phase.learner.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        step = progress.epoch * self.steps_per_epoch + progress.step
        progress.add(phase.learner.step(*self._batches(step)))
        self.predictor.update()
        progress.step += 1

    def _end_epoch(self, phase: Phase, started: int, board: SummaryWriter) -> dict[str, Any]:
        """Mix, evaluate and record; the last checkpoint comes last, so that a kill in between repeats all of it."""
        progress = self.progress
        mixed = self._mixed(phase, progress.epoch - started)
        row = self._trained(phase) | mixed
        progress.epoch, progress.step = progress.epoch + 1, 0
        if self.finished or progress.epoch % self.evaluate_every == 0:
            row |= self._evaluated()
        progress.rows.append(row)
        progress.sums, progress.counts = {}, {}
        accuracy = row.get("validation_accuracy")
        if not phase.prepares and accuracy is not None and accuracy >= progress.best:
            progress.best = accuracy
            best = {"classifier": self.predictor.network.state_dict(), "epoch": row["epoch"]}
            save_checkpoint(self.folder.best, best, self.config)
        self.folder.write_metrics(progress.rows)
        _log(board, row)
        self.save()
        return row

    def _mixed(self, phase: Phase, epoch: int) -> dict[str, float]:
        """The metrics of the mixup pass after an epoch of the phase, if one is due."""
        if phase.clean_mixup is None or not phase.clean_mixup.due(epoch):
            return {}
        plan = self._batches.clean_pass(f"clean mixup after epoch {self.progress.epoch}")
        loss = phase.clean_mixup.train(phase.learner, self.material.train, plan, self.predictor.update)
        return {"clean_mixup_loss": loss.item()}

    def _trained(self, phase: Phase) -> dict[str, Any]:
        progress = self.progress
        row: dict[str, Any] = {"epoch": progress.epoch, "phase": phase.name, **progress.means()}
        row["learning_rate"] = max(group["lr"] for group in phase.learner.param_groups)
        row["skipped"] = phase.learner.skipped
        if phase.selection is not None:
            row["selected"] = len(self._batches.pools.clean)
        return row

    def _evaluated(self) -> dict[str, float]:
        material, network, found = self.material, self.predictor.network, {}
        if len(material.validation):
            found["validation"] = evaluate(network, material.train, material.validation)
        found["test"] = evaluate(network, material.test)
        return {f"{part}_{name}": value for part, values in found.items() for name, value in values.items()}


def _log(board: SummaryWriter, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if name not in ("epoch", "phase") and isinstance(value, float | int):
            board.add_scalar(name, value, row["epoch"])
    board.flush()

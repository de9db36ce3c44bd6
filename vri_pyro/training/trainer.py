"""The training loop, with learning-rate schedule, evaluation, checkpoints, logging and exact resuming."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.training.batches import Pools, StageBatches
from vri_pyro.training.checkpoint import save_checkpoint
from vri_pyro.training.ema import EMA
from vri_pyro.training.evaluation import BATCH_SIZE, evaluate
from vri_pyro.training.loggers import CSVLogger, Logger, Rows
from vri_pyro.training.run_data import RunData
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import BuiltStage
from vri_pyro.training.state import TrainerState
from vri_pyro.utils.interruption import stop_request
from vri_pyro.utils.progress import ProgressDisplay


class Trainer:
    """Trains the stages of a run in order, and writes metrics and checkpoints to the run folder.

    An interrupted run resumes from the last checkpoint and gives the same results as an uninterrupted one. Batches
    depend only on the seed, the step and the current pools. The learning rate depends only on the step. The checkpoint
    contains all other state.

    Args:
        stages: the stages in the order of training.
        data: the training, validation and test data.
        folder: the run folder; None writes no files, so that an interrupted run cannot be resumed. Of several processes
            that train together, only the first has a folder.
        schedule: factor on the learning rate, for stages without their own schedule.
        steps_per_epoch: number of steps per epoch, the same for all pools, so that all methods take equally many steps.
        batch_size: number of examples in a noisy batch.
        clean_batch_size: number of examples in a clean batch.
        seed: seed of the order of the batches.
        config: configuration as text, saved with every checkpoint.
        ema: decay of the moving average that replaces the classifier in evaluation; None for no average.
        evaluate_every: number of epochs between evaluations; the last epoch is always evaluated.

    Attributes:
        classifier: the classifier that all stages train.
        state: progress and metrics of the run.
    """

    def __init__(
        self,
        stages: list[BuiltStage],
        data: RunData,
        folder: RunFolder | None,
        schedule: Schedule,
        steps_per_epoch: int,
        batch_size: int,
        clean_batch_size: int,
        seed: int,
        config: str,
        ema: float | None = None,
        evaluate_every: int = 1,
    ) -> None:
        self.stages, self.data, self.folder, self.schedule = stages, data, folder, schedule
        self.steps_per_epoch, self.seed, self.config = steps_per_epoch, seed, config
        self.batch_size, self.clean_batch_size = batch_size, clean_batch_size
        self.evaluate_every = evaluate_every
        self.classifier = stages[0].algorithm.classifier
        self.ema = EMA(self.classifier, ema)
        self.state = TrainerState()
        self._batches = self._batches_of(stages[0])
        self._rates = [[float(group["lr"]) for group in stage.algorithm.param_groups] for stage in stages]

    @property
    def epochs(self) -> int:
        """Total number of epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def finished(self) -> bool:
        """Whether all epochs are complete."""
        return self.state.epoch >= self.epochs

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state of the training, as tensors and plain values."""
        state = {
            "progress": vars(self.state),
            "stages": [stage.algorithm.state_dict() for stage in self.stages],
            "classifier": self.ema.network.state_dict(),
            "average": self.ema.state_dict(),
            "pools": self._batches.state_dict(),
            "random": torch.get_rng_state(),
        }
        if (device := self.data.train.device).type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(device)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`, possibly on another device."""
        self.state = TrainerState(**state["progress"])
        device = self.data.train.device
        for totals in (self.state.sums, self.state.counts):
            totals.update({name: value.to(device) for name, value in totals.items()})
        for stage, saved in zip(self.stages, state["stages"], strict=True):
            stage.algorithm.load_state_dict(saved)
        self.ema.load_state_dict(state["average"])
        if not self.finished:
            self._batches = self._batches_of(self._current_stage()[0])
            self._batches.load_state_dict(state["pools"])
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], device)

    def run(self, display: Callable[[int, int], ProgressDisplay], loggers: Sequence[Logger] = ()) -> Rows:
        """Train to the end and return the metrics, one row per epoch.

        Args:
            display: creates the progress display from the number of epochs and the number of steps per epoch.
            loggers: additional loggers; ``metrics.csv`` is always written.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped the run; the state has been saved, if the run has a folder.
            NonFiniteError: too many steps were non-finite; the last checkpoint is intact.
            UserError: the classifier does not work with the algorithm of a stage.
        """
        state = self.state
        self._check_stages()
        with (
            stop_request() as stop,
            display(self.epochs, self.steps_per_epoch) as shown,
            self._started(loggers) as started_loggers,
        ):
            while not self.finished:
                stage, began, rates = self._current_stage()
                if state.step == 0:
                    self._begin_epoch(stage, began)
                self.classifier.train()
                while state.step < self.steps_per_epoch:
                    self._step(stage, began, rates)
                    shown.step(state.epoch, state.step - 1)
                    if stop.agree():
                        self.save()
                    stop.check()
                shown.epoch(self._end_epoch(stage, began, started_loggers))
                stop.agree()
                stop.check()
        self._check_skipped()
        return state.rows

    @property
    def skipped(self) -> int:
        """Number of updates skipped because of non-finite values, over all stages."""
        return sum(stage.algorithm.skipped for stage in self.stages)

    @property
    def preparatory(self) -> list[str]:
        """Names of the preparatory stages."""
        return [stage.name for stage in self.stages if stage.preparatory]

    @property
    def measured(self) -> bool:
        """Whether there is a test set or a validation set to measure the accuracy on."""
        return self.data.test is not None or len(self.data.validation) > 0

    @property
    def structural_zeros(self) -> list[str]:
        """Parameter groups that received no hypergradient, over all stages."""
        found = (stage.algorithm.structural_zeros or () for stage in self.stages)
        return list(dict.fromkeys(name for names in found for name in names))

    def _check_stages(self) -> None:
        """Check the classifier with the algorithms of all stages that remain, before the first of them trains it."""
        if self.finished:
            return
        self.classifier.train()
        noisy, clean = self._batches(self.state.epoch * self.steps_per_epoch + self.state.step)
        clean = clean if len(clean.y) else noisy  # the clean set may be selected later
        first = self.stages.index(self._current_stage()[0])
        for stage in self.stages[first:]:
            stage.algorithm.check(noisy, clean)

    def _check_skipped(self) -> None:
        if self.skipped >= self.epochs * self.steps_per_epoch:
            raise NonFiniteError(
                "all steps of this run were non-finite, so nothing was trained; check the scale of the inputs"
            )
        if self.skipped:
            warnings.warn(f"{self.skipped} updates were skipped because of non-finite values", stacklevel=2)

    def save(self) -> None:
        """Write the checkpoint ``last.pt``, if the run has a folder."""
        if self.folder is not None:
            self.folder.check_present()
            save_checkpoint(self.folder.last, self.state_dict(), self.config)

    def _current_stage(self) -> tuple[BuiltStage, int, list[float]]:
        """Return the stage of the current epoch, the first epoch of the stage, and its initial learning rates."""
        started = 0
        for stage, rates in zip(self.stages, self._rates, strict=True):
            if self.state.epoch < started + stage.epochs:
                return stage, started, rates
            started += stage.epochs
        raise IndexError("the run is finished")

    def _begin_epoch(self, stage: BuiltStage, began: int) -> None:
        """Set the pools of the epoch: run the selection and the algorithm's hooks."""
        first = self.state.epoch == began
        if first:
            self._batches = self._batches_of(stage)
            self.ema.restart()
        pools = self._batches.own
        if stage.selection is not None:
            pools = pools._replace(clean=stage.selection(self.ema.network, self.data.train, pools.noisy))
            self._batches.draw_from(self._batches.pools._replace(clean=pools.clean))
        if first and (chosen := stage.algorithm.begin_training(self._context(pools))) is not None:
            self._batches.draw_from(pools._replace(noisy=chosen.numpy()))
        if (chosen := stage.algorithm.begin_epoch(self._context(pools))) is not None:
            self._batches.draw_from(pools._replace(noisy=chosen.numpy()))

    def _context(self, pools: Pools) -> TrainingContext:
        train = self.data.train

        def inputs(positions: Tensor) -> Iterator[Tensor]:
            return (batch.x for batch in train.in_order(positions.numpy(), BATCH_SIZE))

        return TrainingContext(
            self.ema.network,
            inputs,
            train.y,
            noisy=torch.from_numpy(pools.noisy),
            clean=torch.from_numpy(pools.clean),
            reviewed=torch.from_numpy(self.data.reviewed),
            seed=self.seed,
            trained=self.state.epoch > 0,
            pair_counts=None if self.data.pair_counts is None else torch.from_numpy(self.data.pair_counts),
        )

    def _batches_of(self, stage: BuiltStage) -> StageBatches:
        return StageBatches(stage, self.data, self.batch_size, self.clean_batch_size, self.seed)

    def _step(self, stage: BuiltStage, began: int, rates: list[float]) -> None:
        state = self.state
        done = (state.epoch - began) * self.steps_per_epoch + state.step
        factor = (stage.schedule or self.schedule).factor(done / self.steps_per_epoch, stage.epochs)
        for group, rate in zip(stage.algorithm.param_groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor
        step = state.epoch * self.steps_per_epoch + state.step
        state.add(stage.algorithm.step(*self._batches(step)))
        self.ema.update()
        state.step += 1

    def _end_epoch(self, stage: BuiltStage, began: int, loggers: Iterable[Logger]) -> dict[str, Any]:
        """Run the mixup pass, evaluate and record the metrics.

        ``last.pt`` is saved last. If the run is killed earlier, the resumed run repeats all of these operations.
        """
        state = self.state
        mixed = self._mixed(stage, state.epoch - began)
        row = self._trained(stage) | mixed
        state.epoch, state.step = state.epoch + 1, 0
        if self.finished or state.epoch % self.evaluate_every == 0:
            row |= self._evaluated()
        state.rows.append(row)
        state.sums, state.counts = {}, {}
        if self.folder is not None:
            self.folder.check_present()
        accuracy = row.get("validation_accuracy")
        if not stage.preparatory and accuracy is not None and accuracy >= state.best:
            state.best = accuracy
            if self.folder is not None:
                best = {"classifier": self.ema.network.state_dict(), "epoch": row["epoch"]}
                save_checkpoint(self.folder.best, best, self.config)
        for logger in loggers:
            logger.log(row)
        self.save()
        return row

    def _mixed(self, stage: BuiltStage, epoch: int) -> dict[str, float]:
        """Run the mixup pass after an epoch of the stage if one is due, and return its metrics."""
        if stage.clean_mixup is None or not stage.clean_mixup.due(epoch):
            return {}
        plan = self._batches.clean_pass(f"clean mixup after epoch {self.state.epoch}")
        loss = stage.clean_mixup.train(stage.algorithm, self.data.train, plan, self.ema.update)
        return {"clean_mixup_loss": loss.item()}

    def _trained(self, stage: BuiltStage) -> dict[str, Any]:
        state = self.state
        row: dict[str, Any] = {"epoch": state.epoch, "stage": stage.name, **state.means()}
        row["learning_rate"] = max(float(group["lr"]) for group in stage.algorithm.param_groups)
        row["skipped"] = stage.algorithm.skipped
        if stage.selection is not None:
            row["selected"] = len(self._batches.pools.clean)
        return row

    def _evaluated(self) -> dict[str, float]:
        data, network, found = self.data, self.ema.network, {}
        if len(data.validation):
            found["validation"] = evaluate(network, data.train, data.validation)
        if data.test is not None:
            found["test"] = evaluate(network, data.test)
        return {f"{part}_{name}": value for part, values in found.items() for name, value in values.items()}

    @contextmanager
    def _started(self, loggers: Sequence[Logger]) -> Iterator[Sequence[Logger]]:
        """Start the loggers, and close them on exit; there are none without a run folder."""
        started: list[Logger] = []
        with ExitStack() as stack:
            if self.folder is not None:
                for logger in (CSVLogger(), *loggers):
                    logger.watch(self)
                    logger.start(self.folder, self.state.rows)
                    stack.callback(logger.close)
                    started.append(logger)
            yield started

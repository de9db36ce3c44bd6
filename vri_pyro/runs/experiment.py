"""An experiment as a configuration describes it, and what it takes to run it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyro
import torch
from rich.console import Console

from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.data import (
    Arrays,
    Augmentation,
    DeviceData,
    Examples,
    Inputs,
    LabelNoise,
    NoAugmentation,
    Source,
    Split,
    Streamed,
    StreamedData,
    make_split,
    mean_and_std,
)
from vri_pyro.training.ensemble import build_classifier
from vri_pyro.utils.errors import UserError, building
from vri_pyro.methods.base import Method, OptimizerFactory, Stage
from vri_pyro.training.phase import Material
from vri_pyro.training.phases import MAIN, CleanSource, build_phases
from vri_pyro.training.ema import check_decay
from vri_pyro.utils.progress import ProgressDisplay
from vri_pyro.utils.provenance import provenance
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.state import Rows
from vri_pyro.infer.schedules import Schedule
from vri_pyro.training.selection import Selection
from vri_pyro.training.trainer import Trainer


@dataclass(frozen=True)
class SplitSizes:
    """How many training examples are trusted.

    Attributes:
        clean_per_class: examples of the clean set a class; null, with given clean indices, takes them all; 0, for
            methods that need none and with a selection, leaves the clean set empty.
        validation_per_class: further examples a class, held out to choose an epoch; data that name their validation
            examples have them whole.
        noisy_size: examples of the noisy part; null takes all the rest.
        clean_size: examples of a clean set with the classes in proportion, instead of clean_per_class.
        validation_from: the part that the validation set is held out of; from the noisy part, its labels are noisy.
        file: another run's split.npz, taken as it is, noise and all; the other sizes and the noise are then ignored.
    """

    clean_per_class: int | None = 3
    validation_per_class: int = 3
    noisy_size: int | None = None
    clean_size: int | None = None
    validation_from: Literal["clean", "noisy"] = "clean"
    file: Path | None = None

    def split(self, arrays: Arrays, noise: LabelNoise, seed: int) -> Split:
        """The split of these sizes, or the one in the file after checking that it fits the data."""
        if self.file is not None:
            return Split.load(self.file).of(arrays)
        sizes = {name: value for name, value in vars(self).items() if name != "file"}
        return make_split(arrays, noise, seed=seed, **sizes)


@dataclass(frozen=True)
class FineTuning(Stage):
    """A last stage on top of the trained classifier, usually cross entropy on the clean set.

    Attributes:
        method, optimizer, epochs, schedule: see :class:`~vri_pyro.methods.Stage`.
    """

    epochs: int | None = 10


class Experiment:
    """Train one classifier on noisy and clean labels, and leave a run folder behind.

    Args:
        method: how to train: Bilevel or SingleLevel with a model and a guide, or a class of your own.
        data: the data set.
        noise: label noise to inject into the noisy part.
        backbone: the classifier, built from (input_shape, num_classes).
        optimizer: of the classifier.
        schedule: factor on the classifier's learning rate.
        split: how many examples are trusted.
        augmentation: of the noisy batches; the paper's is Strong.
        clean_augmentation: of the clean batches; the paper's is Weak.
        warm_up: a stage before the method's, if any, usually cross entropy on the noisy labels.
        fine_tuning: a stage after it, if any.
        selection: chooses the clean set from the noisy part before each epoch of the method, for splits without one.
        clean_mixup: passes of mixup over the clean set between the method's epochs, if any.
        ema: decay of a moving average of the classifier, which is then tested and saved; 0.999 is usual.
        networks: networks of different initialisation, each trained on the same batches; their logits are averaged.
        evaluate_every: epochs from one look at the validation and test sets to the next; the last epoch has one.
        epochs: passes over the noisy part; other pools get the same number of steps.
        batch_size: examples of a noisy batch.
        clean_batch_size: examples of a clean batch; a smaller clean set is used whole.
        seed: of the split, the noise, the initial parameters and everything random.
        device: "auto" takes CUDA where there is one.
        threads: CPU threads; 0 leaves them to PyTorch.
        workers: processes that read images ahead where the data are streamed from disk; they change no batch.
        output: the run folder.
        resume: go on with the run in the output folder.
        quiet: show nothing while training.
    """

    def __init__(
        self,
        method: Method,
        data: Source,
        noise: LabelNoise,
        backbone: Callable[[tuple[int, ...], int], Classifier],
        optimizer: OptimizerFactory,
        schedule: Schedule,
        split: SplitSizes = SplitSizes(),
        augmentation: Augmentation = NoAugmentation(),
        clean_augmentation: Augmentation = NoAugmentation(),
        warm_up: Stage | None = None,
        fine_tuning: FineTuning | None = None,
        selection: Selection | None = None,
        clean_mixup: CleanMixup | None = None,
        ema: float | None = None,
        networks: int = 1,
        evaluate_every: int = 1,
        epochs: int = 60,
        batch_size: int = 100,
        clean_batch_size: int = 100,
        seed: int = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int = 0,
        workers: int = 2,
        output: Path | str = "runs/latest",
        resume: bool = False,
        quiet: bool = False,
    ) -> None:
        _check_at_least(1, epochs=epochs, batch_size=batch_size, clean_batch_size=clean_batch_size)
        _check_at_least(1, networks=networks, evaluate_every=evaluate_every)
        _check_at_least(0, threads=threads, workers=workers, seed=seed)
        if ema is not None:
            check_decay(ema)
        self.method, self.data, self.noise, self.backbone = method, data, noise, backbone
        self.optimizer, self.schedule, self.split = optimizer, schedule, split
        self.warm_up, self.fine_tuning = warm_up, fine_tuning
        self.selection, self.clean_mixup, self.ema, self.networks = selection, clean_mixup, ema, networks
        self.evaluate_every = evaluate_every
        self.epochs, self.batch_size, self.clean_batch_size, self.seed = epochs, batch_size, clean_batch_size, seed
        self.augmentation, self.clean_augmentation = augmentation, clean_augmentation
        self.device, self.threads, self.workers = choose_device(device), threads, workers
        self.folder, self.resume = RunFolder(output), resume
        self.console = Console(quiet=quiet)

    def run(self, config: str, identity: str) -> dict[str, Any]:
        """Train, or go on training, and return the summary that is also written to the run folder.

        Args:
            config: the configuration as text, written to the run folder.
            identity: the part of it that makes the run what it is; a checkpoint of another one is refused.

        Raises:
            UserError: anything that the user can mend; nothing of an earlier run is lost.
            Interrupted: when Ctrl-C or SIGTERM asked for it, after saving.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        self.folder.check(self.resume)
        resumed = load_checkpoint(self.folder.last, identity) if self.folder.last.exists() else None
        arrays, split = self.prepare(saved=bool(resumed))
        shape = self._input_shape(arrays)
        mean, std = mean_and_std(arrays.x_train)
        trainer = self._trainer(arrays, split, shape, mean, std, identity)
        if resumed:
            trainer.load_state_dict(resumed)
        else:
            if self.resume:
                self.console.print(f"nothing to resume in {self.folder.path}; starting", highlight=False, markup=False)
            self.folder.make()
            self.folder.write_config(config)
            split.save(self.folder.split)
            self.folder.write_inputs(arrays.input_shape, arrays.x_train.dtype, arrays.classes, mean, std)
        if trainer.finished and self.folder.summary.exists():
            return self.folder.read_summary()
        with pyro.validation_enabled(False):  # it costs time on every site, and waits for the device
            rows = trainer.run(lambda epochs, steps: ProgressDisplay(epochs, steps, self.console))
        summary = {
            "results": results(rows, trainer.preparing),
            "split": split.summary(),
            "noise": split.noise,
            "skipped": trainer.skipped,
            "structural_zeros": trainer.structural_zeros,
            "made_by": provenance(self.device),
        }
        self.folder.write_summary(summary)
        return summary

    def prepare(self, saved: bool = False) -> tuple[Arrays, Split]:
        """The data, and the split that a run makes of them, or that the run in the output folder has saved."""
        arrays = self.data.load()
        if saved:
            return arrays, Split.load(self.folder.split).of(arrays)
        return arrays, self.split.split(arrays, self.noise, self.seed)

    def restore(self) -> tuple[Trainer, Split]:
        """The run in the output folder as its last checkpoint has it, and its split; PyTorch's random state stays.

        Raises:
            UserError: the folder holds no checkpoint, or the data are not those of the run.
        """
        state = load_checkpoint(self.folder.last)
        arrays, split = self.prepare(saved=True)
        shape, (mean, std) = self._input_shape(arrays), mean_and_std(arrays.x_train)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            trainer = self._trainer(arrays, split, shape, mean, std, identity="")
            trainer.load_state_dict(state)
        return trainer, split

    def _input_shape(self, arrays: Arrays) -> tuple[int, ...]:
        """The shape of one input as the classifier sees it, which a random crop makes smaller than the data's."""
        seen = {
            "augmentation": self.augmentation,
            "clean_augmentation": self.clean_augmentation,
            "evaluation": self.augmentation.evaluation(),
        }
        shapes = {name: one.output_shape(arrays.input_shape, arrays.x_train.dtype) for name, one in seen.items()}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise UserError(f"the classifier would see inputs of different shapes ({listed}); give both the same crop")
        return shapes["evaluation"]

    def _trainer(
        self,
        arrays: Arrays,
        split: Split,
        shape: tuple[int, ...],
        mean: np.ndarray,
        std: np.ndarray,
        identity: str,
    ) -> Trainer:
        material = Material(
            train=self._examples(split.inputs(arrays.x_train), split.labels(arrays.y_train), mean, std),
            test=self._examples(arrays.x_test, arrays.y_test, mean, std),
            clean=split.clean_indices,
            validation=split.validation_indices,
            augmentation=self.augmentation,
            clean_augmentation=self.clean_augmentation,
        )
        with building("the backbone"):
            classifier = build_classifier(self.backbone, shape, arrays.num_classes, self.networks)
        # The layout that convolutions and pooling are faster in.
        classifier = classifier.to(self.device).to(memory_format=torch.channels_last)
        return Trainer(
            build_phases(self._stages(), classifier, split, self.epochs),
            material,
            self.folder,
            self.schedule,
            steps_per_epoch=max(1, len(split.noisy_indices) // self.batch_size),
            batch_size=self.batch_size,
            clean_batch_size=self.clean_batch_size,
            seed=self.seed,
            config=identity,
            ema=self.ema,
            evaluate_every=self.evaluate_every,
        )

    def _examples(self, inputs: Inputs, labels: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Examples:
        """The inputs on the device where they fit, and read as they are needed where they are streamed."""
        crop = self.augmentation.evaluation()
        if isinstance(inputs, Streamed):
            return StreamedData(inputs, labels, self.device, mean, std, crop, self.workers)
        return DeviceData(inputs, labels, self.device, mean, std, crop)

    def _stages(self) -> dict[str, tuple[Stage, CleanSource]]:
        """The stages of the run, in the order of training; selection and mixup belong to the method's own."""
        stages = {MAIN: (Stage(self.method, self.optimizer), CleanSource(self.selection, self.clean_mixup))}
        if self.warm_up is not None:
            stages = {"warm-up": (self.warm_up, CleanSource())} | stages
        if self.fine_tuning is not None:
            stages["fine-tuning"] = self.fine_tuning, CleanSource()
        return stages


def _check_at_least(least: int, **options: int) -> None:
    for name, value in options.items():
        if value < least:
            raise UserError(f"{name} is {value}; give at least {least}")


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant by ``name``.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda but PyTorch finds no CUDA device here; use --device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def evaluated_rows(rows: Rows, preparing: Collection[str] = ()) -> dict[int, dict[str, Any]]:
    """The rows that a run is judged by, by their epochs; see :func:`results`."""
    evaluated = {epoch: row for epoch, row in enumerate(rows) if "test_accuracy" in row}
    if not evaluated:
        raise UserError("no epoch of this run has been evaluated yet; go on with it, or look again later")
    return {epoch: row for epoch, row in evaluated.items() if row.get("phase") not in preparing} or evaluated


def results(rows: Rows, preparing: Collection[str] = ()) -> dict[str, float | None]:
    """Test accuracy in percent under the three ways to choose an epoch that do not look at the test set.

    Args:
        rows: the metrics, a row an epoch, some of them evaluated.
        preparing: phases that only prepare another, whose epochs do not count; they do while there are no others.

    Returns:
        ``last``; ``last_10``, the mean of those of the last ten epochs that were evaluated; ``chosen``, at the last
        epoch of the best validation accuracy (None without a validation set), with that epoch's number: few validation
        examples are soon all right, long before training is over.

    Raises:
        UserError: no epoch was evaluated yet.
    """
    evaluated = evaluated_rows(rows, preparing)
    accuracies = {epoch: row["test_accuracy"] for epoch, row in evaluated.items()}
    found: dict[str, float | None] = {
        "last": accuracies[max(accuracies)],
        "last_10": float(np.mean([value for epoch, value in accuracies.items() if epoch >= len(rows) - 10])),
        "chosen": None,
        "chosen_epoch": None,
    }
    if "validation_accuracy" in evaluated[max(evaluated)]:
        best = max(evaluated, key=lambda epoch: (evaluated[epoch]["validation_accuracy"], epoch))
        found |= {"chosen": accuracies[best], "chosen_epoch": best}
    return found

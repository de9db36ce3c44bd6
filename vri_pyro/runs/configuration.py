"""The configuration of an experiment: every option, with its default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vri_pyro.data import Arrays, Augmentation, LabelNoise, NoAugmentation, Source, Split, make_split
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Stage
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.ema import check_decay
from vri_pyro.training.loggers import Logger
from vri_pyro.training.selection import Selection
from vri_pyro.utils.errors import UserError


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


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Train one classifier on noisy and clean labels, and leave a run folder behind.

    Attributes:
        method: how to train, such as Bilevel or SingleLevel with a model and a guide, or a class of your own.
        data: the data set.
        noise: label noise to inject into the noisy part.
        backbone: the classifier, built from (input_shape, num_classes).
        optimizer: optimiser of the classifier.
        schedule: factor on the classifier's learning rate.
        split: how many examples are trusted.
        augmentation: of the noisy batches; the paper uses Strong.
        clean_augmentation: of the clean batches; the paper uses Weak.
        warm_up: a stage before that of the method, usually cross entropy on the noisy labels.
        fine_tuning: a stage after that of the method.
        selection: chooses the clean set from the noisy part before each epoch of the method, for splits without one.
        clean_mixup: mixup passes over the clean set between the epochs of the method.
        ema: decay of an exponential moving average of the classifier, which is then evaluated and saved; 0.999 is
            usual; null for none.
        networks: number of networks, each initialised differently and trained on the same batches; their logits are
            averaged.
        loggers: where metrics go besides metrics.csv.
        evaluate_every: number of epochs between evaluations; the last epoch is always evaluated.
        epochs: passes over the noisy part; other pools get the same number of steps.
        batch_size: examples in a noisy batch.
        clean_batch_size: examples in a clean batch; a smaller clean set is used whole.
        seed: of the split, the noise, the initial parameters and everything random.
        device: "auto" uses CUDA if available.
        threads: number of CPU threads; 0 leaves the choice to PyTorch.
        workers: number of processes that read images ahead where data are streamed from disk; they change no batch.
        output: the run folder.
        resume: continue the run in the output folder.
        quiet: print nothing while training.
    """

    method: Method
    data: Source
    noise: LabelNoise
    backbone: Callable[[tuple[int, ...], int], Classifier]
    optimizer: OptimizerFactory
    schedule: Schedule
    split: SplitSizes = SplitSizes()
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()
    warm_up: Stage | None = None
    fine_tuning: FineTuning | None = None
    selection: Selection | None = None
    clean_mixup: CleanMixup | None = None
    ema: float | None = None
    networks: int = 1
    loggers: Sequence[Logger] = ()
    evaluate_every: int = 1
    epochs: int = 60
    batch_size: int = 100
    clean_batch_size: int = 100
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    workers: int = 2
    output: Path | str = "runs/latest"
    resume: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._check_at_least(1, "epochs", "batch_size", "clean_batch_size", "networks", "evaluate_every")
        self._check_at_least(0, "threads", "workers", "seed")
        if self.ema is not None:
            check_decay(self.ema)

    def _check_at_least(self, least: int, *options: str) -> None:
        for name in options:
            if (value := getattr(self, name)) < least:
                raise UserError(f"{name} is {value}; give at least {least}")

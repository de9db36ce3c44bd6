"""The configuration of an experiment: all options and their defaults."""

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
    """Sizes of the clean, validation and noisy sets.

    Attributes:
        clean_per_class: clean examples per class; null uses all examples whose labels the data mark as clean; 0 leaves
            the clean set empty, for methods that need none and for a selection.
        validation_per_class: validation examples per class, held out to choose the best epoch; data with their own
            validation examples use all of those.
        noisy_size: number of noisy examples; null uses all remaining examples.
        clean_size: size of a clean set with the classes in proportion, instead of clean_per_class.
        validation_from: the set that the validation examples are taken from; from "noisy", their labels are noisy.
        file: split.npz of another run, used with its noisy labels; the other sizes and the noise are ignored.
    """

    clean_per_class: int | None = 3
    validation_per_class: int = 3
    noisy_size: int | None = None
    clean_size: int | None = None
    validation_from: Literal["clean", "noisy"] = "clean"
    file: Path | None = None

    def split(self, arrays: Arrays, noise: LabelNoise, seed: int) -> Split:
        """Split the data, or load the split from ``file``.

        Args:
            arrays: the data.
            noise: label noise for the noisy set.
            seed: seed of the split and the noise.

        Raises:
            UserError: the sizes or the file do not fit the data.
        """
        if self.file is not None:
            return Split.load(self.file).of(arrays)
        sizes = {name: value for name, value in vars(self).items() if name != "file"}
        return make_split(arrays, noise, seed=seed, **sizes)


@dataclass(frozen=True)
class FineTuning(Stage):
    """A final stage that fine-tunes the trained classifier, usually with cross entropy on the clean set.

    Attributes:
        method, optimizer, epochs, schedule: see :class:`~vri_pyro.methods.Stage`.
    """

    epochs: int | None = 10


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Configuration of an experiment, which trains a classifier on noisy and clean labels.

    Attributes:
        method: training method, such as Bilevel or SingleLevel with a model and a guide, or your own class.
        data: data set.
        noise: label noise to inject into the noisy set.
        backbone: classifier, built from (input_shape, num_classes).
        optimizer: optimiser of the classifier.
        schedule: factor on the classifier's learning rate.
        split: sizes of the clean, validation and noisy sets.
        augmentation: augmentation of the noisy batches; the paper uses Strong.
        clean_augmentation: augmentation of the clean batches; the paper uses Weak.
        warm_up: stage before the main stage, usually cross entropy on the noisy labels.
        fine_tuning: stage after the main stage.
        selection: selects the clean set from the noisy set before each epoch of the main stage, for splits without one.
        clean_mixup: mixup passes over the clean set between the epochs of the main stage.
        ema: decay of an exponential moving average of the classifier, which is evaluated and saved instead of it;
            usually 0.999; null for no average.
        networks: number of networks, trained on the same batches from different initial parameters; their logits are
            averaged.
        loggers: additional loggers; metrics.csv is always written.
        evaluate_every: number of epochs between evaluations; the last epoch is always evaluated.
        epochs: passes over the noisy set in the main stage; other pools use the same number of steps.
        batch_size: number of examples in a noisy batch.
        clean_batch_size: number of examples in a clean batch; a smaller clean set is used as a whole.
        seed: seed of the split, the noise, the initial parameters and all other random numbers.
        device: "auto" uses CUDA if available.
        threads: number of CPU threads; 0 uses PyTorch's default.
        workers: number of processes that prefetch images of data streamed from disk; does not change the batches.
        output: run folder.
        resume: continue the run in the output folder.
        quiet: print nothing during training.

    Raises:
        UserError: a number is out of range.
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
        """Check the ranges of the numbers."""
        self._check_at_least(1, "epochs", "batch_size", "clean_batch_size", "networks", "evaluate_every")
        self._check_at_least(0, "threads", "workers", "seed")
        if self.ema is not None:
            check_decay(self.ema)

    def _check_at_least(self, least: int, *options: str) -> None:
        for name in options:
            if (value := getattr(self, name)) < least:
                raise UserError(f"{name} is {value}; expected a value >= {least}")

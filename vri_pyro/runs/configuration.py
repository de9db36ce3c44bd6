"""The configuration of an experiment: all options and their defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vri_pyro.data import Arrays, Augmentation, LabelNoise, NoAugmentation, Source, Split, default_noise, make_split
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Stage
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.ema import check_decay
from vri_pyro.training.loggers import Logger
from vri_pyro.training.selection import Selection
from vri_pyro.training.trunk import Trunk
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import MOST_PROCESSES, check_integer, check_number

_MOST_NETWORKS = 1000  # more would fill the memory, and take minutes to build


@dataclass(frozen=True)
class SplitSizes:
    """Sizes of the clean, validation and noisy sets.

    Attributes:
        clean_per_class: number of clean examples per class; null for all examples that the data set marks as clean, or
            3 per class if it marks none; 0 for no clean set (for methods that need none, or with a selection).
        validation_per_class: number of validation examples per class, held out to choose the best epoch; null for 3,
            but at most a quarter of the examples that the data set marks as clean; ignored if the data set has its own
            validation set.
        noisy_size: number of noisy examples; null for all remaining examples.
        clean_size: total size of a clean set stratified by class; overrides clean_per_class.
        validation_from: set from which the validation set is held out, "clean" or "noisy"; with "noisy", the
            validation labels are noisy.
        noisy_holdout: share of the noisy set that is kept out of training, drawn at random, such as 0.1; 0 for none.
            These labels are ranked like the others, and make the estimated share of wrong labels of image runs more
            reliable: the classifier cannot have memorised them.
        file: split.npz of another run, whose split and noisy labels are reused; all other split options and the noise
            are ignored.
    """

    clean_per_class: int | None = None
    validation_per_class: int | None = None
    noisy_size: int | None = None
    clean_size: int | None = None
    validation_from: Literal["clean", "noisy"] = "clean"
    noisy_holdout: float = 0.0
    file: Path | None = None

    def split(self, arrays: Arrays, noise: LabelNoise | None, seed: int) -> Split:
        """Split the data, or load the split from ``file``.

        Args:
            arrays: the data.
            noise: label noise for the noisy set; None for the default, see
                :func:`~vri_pyro.data.default_noise`.
            seed: seed of the split and the noise.

        Raises:
            UserError: the sizes or the file do not fit the data.
        """
        if self.file is not None:
            return Split.load(self.file).of(arrays)
        sizes = {name: value for name, value in vars(self).items() if name != "file"}
        return make_split(arrays, noise or default_noise(arrays), seed=seed, **sizes)


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
        noise: label noise to inject into the noisy set; null for Flip with a rate of 0.4 if all labels of the data set
            are known to be correct, as those of a benchmark are, and otherwise for none.
        backbone: classifier, built from (input_shape, num_classes); null for SmallCNN on images and, on vectors, the
            one that ``choose_network`` finds, or a linear classifier (MLP without hidden layers).
        choose_network: choose the network and its weight decay from the data, by the likelihood of noisy labels that
            are held out, if the inputs are vectors and no backbone, weight_decay and trunk are set; see
            :func:`~vri_pyro.runs.network_choice.choose_network`. The choice is written to config.yaml.
        optimizer: optimiser of the classifier.
        weight_decay: weight decay of the classifier's weights, without its biases; null for that of the optimiser.
        schedule: schedule of the classifier's learning rate.
        trunk: learning rate of all layers but the head, or whether to freeze them; null to train them like the head.
        split: sizes of the clean, validation and noisy sets.
        augmentation: augmentation of the noisy batches; the paper uses Strong.
        clean_augmentation: augmentation of the clean batches; the paper uses Weak.
        warm_up: stage before the main stage, usually cross entropy on the noisy labels.
        fine_tuning: stage after the main stage, usually cross entropy on the clean set.
        selection: rule that selects a clean set from the noisy set before each epoch of the main stage, for splits
            without a clean set.
        clean_mixup: mixup passes over the clean set between the epochs of the main stage.
        ema: decay of an exponential moving average (EMA) of the classifier's weights, such as 0.99 or, for longer runs,
            0.999; the averaged classifier is evaluated and saved; null for no average.
        networks: number of networks in an ensemble that averages their logits, at most 1,000; they are trained on the
            same batches from different initial parameters.
        loggers: additional loggers; metrics.csv is always written.
        evaluate_every: number of epochs between evaluations; the last epoch is always evaluated.
        epochs: number of epochs of the main stage; for every method, an epoch has as many steps as one pass over the
            noisy set. Other stages come in addition: warm_up, fine_tuning, and the estimation stage of the default
            method (method.estimation_share, a third as many epochs) and of GLC (method.estimation_epochs).
        batch_size: number of examples in a noisy batch.
        clean_batch_size: number of examples in a clean batch; a smaller clean set is used as a whole.
        duplicates: what to do with identical inputs in several parts of the data: "warn" reports them, and refuses a
            test set that is a part of the training set; "refuse" raises an error; "remove" takes training examples out
            of the run that are identical to an example of the test, validation or clean set, in this order of
            precedence; "ignore" does not look for them.
        seed: seed of the split, the noise, the initial parameters and all other random numbers.
        device: device to compute on, "cpu", "cuda" or "auto"; "auto" uses CUDA if available.
        precision: precision of the classifier in training: "float32"; "tf32", float32 with coarser matrix products on
            CUDA devices; or "bfloat16", by ``torch.autocast``. Guide, prior, losses and evaluation stay in float32.
        cudnn_benchmark: let cuDNN try algorithms for convolutions and choose the fastest, which may differ from run to
            run, so that a resumed run may differ in rounding.
        threads: number of CPU threads; 0 uses PyTorch's default. At most 1,024, or the number of CPUs if it is larger.
        workers: number of worker processes that load streamed images, with the same limit; the batches do not depend
            on it.
        output: run folder to write.
        resume: continue the run in the output folder.
        quiet: print nothing during training.

    Raises:
        UserError: a number is out of range.
    """

    method: Method
    data: Source
    noise: LabelNoise | None = None
    backbone: Callable[[tuple[int, ...], int], Classifier] | None = None
    choose_network: bool = True
    optimizer: OptimizerFactory
    weight_decay: float | None = None
    schedule: Schedule
    trunk: Trunk | None = None
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
    duplicates: Literal["warn", "refuse", "remove", "ignore"] = "warn"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    cudnn_benchmark: bool = False
    threads: int = 0
    workers: int = 2
    output: Path | str = "runs/latest"
    resume: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        """Check the ranges of the numbers."""
        for name in ("epochs", "batch_size", "clean_batch_size", "evaluate_every"):
            check_integer(name, getattr(self, name), 1)
        check_integer("networks", self.networks, 1, _MOST_NETWORKS)
        for name in ("threads", "workers"):
            check_integer(name, getattr(self, name), 0, MOST_PROCESSES)
        check_integer("seed", self.seed, 0)
        if self.precision not in ("float32", "tf32", "bfloat16"):
            raise UserError(f"precision is {self.precision!r}; expected 'float32', 'tf32' or 'bfloat16'")
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, at_least=0, remedy=", such as 5e-4")
        if self.ema is not None:
            check_decay(self.ema)

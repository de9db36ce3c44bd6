"""Benches: a data set at a given image size, with a matching classifier and number of epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from study.data import find, pooled, synthetic
from study.runs import Cell, Options
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class Bench:
    """Settings shared by all runs of a study at one scale.

    Attributes:
        title: name of the data set in tables.
        data: name of the .npz file without its suffix; None for synthetic images.
        side: side length in pixels to which images are pooled.
        foreign: names of .npz files with open-set images; the first file that exists is used.
        options: options of ``vri-pyro fit`` for the sizes of the splits, the classifier and the number of epochs.
        optimizer: options of the classifier's optimiser. Options of the method override them.
        schedule: options of the learning rate schedule and of weight averaging. Options of the method override them.
        exclude: classes of the open-set images whose names contain one of these words are left out, because they
            belong to a class of the data set.
        tried: how many methods the comparison of all methods runs on this bench.
        chosen_by: validation examples per class for choosing the training regime.
        lengthened: whether the comparison also trains some methods for twice as many epochs.
        adapted: options of individual peer methods that depend on the number of classes, by method name.
        nets: the paper's classifiers for noises other than flips, by class name of the noise.
        path, foreign_path: the pooled files; set by :meth:`prepared`.
    """

    title: str
    data: str | None
    side: int
    foreign: tuple[str, ...]
    options: Options
    optimizer: Options
    schedule: Options
    exclude: tuple[str, ...] = ()
    tried: Literal["all", "most", "essential"] = "all"
    chosen_by: int = 20
    lengthened: bool = False
    adapted: Mapping[str, Options] = field(default_factory=dict)
    nets: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    foreign_path: Path | None = None

    def prepared(self, given: list[Path], cache: Path) -> Bench:
        """Return the bench with the paths of its pooled files; the images are pooled if necessary.

        Args:
            given: .npz files, and folders that contain them.
            cache: folder of the pooled files.

        Raises:
            UserError: if the data set is in none of the given places.
        """
        if self.data is None:
            path = synthetic(cache / "synthetic.npz")
            return replace(self, path=path, foreign_path=path)
        foreign = next((path for name in self.foreign if (path := find(name, given))), None)
        path = pooled(_needed(self.data, given), self.side, cache)
        return replace(self, path=path, foreign_path=foreign and pooled(foreign, self.side, cache))

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return int(self.options[self.options.index("--epochs") + 1])

    def setting(self, *options: str) -> Options:
        """Return the bench's options followed by the options of a setting."""
        data = ("--data", "vri_pyro.data.NpzFile", "--data.path", str(self.path), "--data.verified", "true")
        return (*data, *self.options, *self.optimizer, *self.schedule, *options)

    def fitted(self, cell: Cell) -> Cell:
        """Return the cell with the classifier that this bench uses for the cell's noise."""
        chosen = dict(zip(cell.options[::2], cell.options[1::2], strict=True)).get("--noise", "").rpartition(".")[2]
        return replace(cell, options=(*cell.options, "--backbone", self.nets[chosen])) if chosen in self.nets else cell


@dataclass(frozen=True)
class Digits(Bench):
    """The digits of scikit-learn, which need no file."""

    def prepared(self, given: list[Path], cache: Path) -> Bench:
        """Return the bench itself."""
        return self

    def setting(self, *options: str) -> Options:
        """Return the bench's options followed by the options of a setting."""
        return ("--data", "vri_pyro.data.Digits", *self.options, *self.optimizer, *self.schedule, *options)


def _needed(name: str, given: list[Path]) -> Path:
    if (path := find(name, given)) is None:
        places = ", ".join(map(str, given)) or "nowhere"
        raise UserError(
            f"{name}.npz was not found (searched: {places}); pass its location with --data, or create it with "
            f"python experiments/prepare.py {name}"
        )
    return path


def noise(name: str, rate: float) -> Options:
    """Return the options of one of the package's noise classes."""
    return ("--noise", f"vri_pyro.data.{name}", "--noise.rate", str(rate))


def foreign_images(bench: Bench) -> Options:
    """Return the options that set the source of the open-set images.

    Raises:
        UserError: if the images are in none of the given places.
    """
    if bench.foreign_path is None:
        names = " or ".join(bench.foreign)
        raise UserError(f"open-set noise on {bench.title} needs {names}.npz; pass its location with --data")
    images = ("--noise.images", str(bench.foreign_path))
    return (*images, "--noise.exclude", f"[{','.join(bench.exclude)}]") if bench.exclude else images


def open_set(bench: Bench, rate: float) -> Options:
    """Return the options of noise that replaces images by the bench's open-set images."""
    return (*noise("OpenSet", rate), *foreign_images(bench))


def clean_labels(per_class: int) -> Options:
    """Return the options that set the size of the clean set, in labels per class."""
    return ("--split.clean_per_class", str(per_class))


def sgd(lr: float, momentum: float) -> Options:
    """Return the options of SGD as the classifier's optimiser, with a weight decay of 5e-4."""
    options = {"lr": lr, "momentum": momentum, "weight_decay": 5e-4}
    return ("--optimizer", "torch.optim.SGD", *(x for k, v in options.items() for x in (f"--optimizer.{k}", str(v))))


# Words in names of Tiny ImageNet classes that are kinds of CIFAR-10 classes.
_LIKE_CIFAR10 = (
    *("cat", "Chihuahua", "terrier", "retriever", "shepherd", "poodle", "goose", "stork", "penguin", "albatross"),
    *("frog", "bullfrog", "gazelle", "car", "limousine", "convertible", "wagon", "van", "lifeboat", "gondola"),
)

COSINE: Options = ("--schedule", "vri_pyro.infer.Cosine", "--ema", "null")
# The default of vri-pyro fit. Averaging the weights cancels fluctuations that wrong labels cause in the last epochs.
AVERAGED: Options = ("--schedule", "vri_pyro.infer.Constant", "--ema", "0.99")

SYNTHETIC = Bench(
    title="synthetic",
    data=None,
    side=8,
    foreign=(),
    options=(
        *("--split.noisy_size", "200", "--split.validation_per_class", "2", "--epochs", "2"),
        *("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[16]"),
    ),
    optimizer=sgd(0.1, 0.9),
    schedule=AVERAGED,
    chosen_by=2,
    lengthened=True,
)
FASHION_MNIST_14 = Bench(
    title="Fashion-MNIST",
    data="fashion_mnist",
    side=14,
    foreign=("mnist", "mnist_ood"),
    options=(
        *("--split.noisy_size", "5000", "--split.validation_per_class", "20"),
        *("--epochs", "12", "--evaluate_every", "4"),
        *("--backbone", "vri_pyro.backbones.SmallCNN", "--backbone.channels", "[16,32]"),
        *("--backbone.feature_dim", "64"),
    ),
    optimizer=sgd(0.1, 0.9),
    schedule=AVERAGED,
    tried="most",
    chosen_by=400,
    lengthened=True,
)
CIFAR10_16 = Bench(
    title="CIFAR-10",
    data="cifar10",
    side=16,
    foreign=("tinyimagenet32_ood",),
    exclude=_LIKE_CIFAR10,
    options=(
        *("--split.noisy_size", "5000", "--split.validation_per_class", "20"),
        *("--epochs", "8", "--batch_size", "50", "--evaluate_every", "4"),
        *("--backbone", "vri_pyro.backbones.CIFARResNet", "--backbone.depth", "8"),
        *("--augmentation", "vri_pyro.data.HorizontalFlip", "--clean_augmentation", "vri_pyro.data.HorizontalFlip"),
    ),
    optimizer=sgd(0.1, 0.9),
    schedule=AVERAGED,
    tried="essential",
    chosen_by=400,
)
_RESNET18, _RESNET34 = "vri_pyro.backbones.PreActResNet18", "vri_pyro.backbones.PreActResNet34"
# Data, networks, epochs and augmentation of the paper (§4). Of the 49,000 examples beside the clean set, 200 validate.
CIFAR10 = Bench(
    title="CIFAR-10",
    data="cifar10",
    side=32,
    foreign=("tinyimagenet32_ood",),
    exclude=_LIKE_CIFAR10,
    options=(
        *("--split.clean_per_class", "100", "--split.validation_per_class", "20", "--epochs", "160"),
        *("--backbone", "vri_pyro.backbones.ResNet32"),
        *("--augmentation", "vri_pyro.data.Strong", "--clean_augmentation", "vri_pyro.data.Weak"),
    ),
    optimizer=sgd(0.02, 0.9),
    schedule=COSINE,
    nets=dict.fromkeys(("UniformExclusive", "UniformInclusive", "InstanceDependent", "OpenSet"), _RESNET18),
)
# Ten clean labels and 2 validation examples per class; there are no open-set images.
CIFAR100 = replace(
    CIFAR10,
    title="CIFAR-100",
    data="cifar100",
    foreign=(),
    exclude=(),
    options=(*CIFAR10.options, "--split.clean_per_class", "10", "--split.validation_per_class", "2"),
    chosen_by=2,
    adapted={
        "ELR": ("--method.elr_weight", "7", "--method.momentum", "0.9"),  # values of the ELR paper for CIFAR-100
        "WarPI": (  # the label embedding has as many dimensions as there are classes
            "--method.guide.inputs",
            "[vri_pyro.guides.Logits, {class_path: vri_pyro.guides.LabelEmbedding, init_args: {dim: 100}}]",
        ),
    },
    nets={"UniformExclusive": _RESNET18, "UniformInclusive": _RESNET18, "InstanceDependent": _RESNET34},
)
SCALES = {"small": (FASHION_MNIST_14,), "paper": (CIFAR10,), "tiny": (SYNTHETIC,)}

"""Benches: a data set at a size, with a classifier and a length of training that fit it."""

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
    """What all runs of a study share at one scale.

    Attributes:
        title: the data's name in tables.
        data: name of the .npz file without its ending; None for synthetic images.
        side: pixels to pool the images to.
        foreign: names of .npz files of images of no class, for open-set noise; the first that is there is taken.
        tried: how many of the methods a study of them all tries on it; fewer where the whole would take too long.
        exclude: words in the names of its classes that are the data's own.
        chosen_by: validation examples a class where something is chosen by them; more where the data have some left.
        lengthened: whether some methods are also trained twice as long, where that is asked.
        adapted: options of single peers that its classes want, by the peer's name.
        nets: the classifiers that the paper has under other noises than flips, by the noise's class.
        options: of ``vri-pyro fit``: the sizes of the parts, the classifier, the length of training.
        optimizer: options of the classifier's optimiser, which come before those of the method, as do the next.
        schedule: options of the learning rate's schedule and of averaging.
        path, foreign_path: the pooled files, once :meth:`prepared`.
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
        """The bench with its files found, and pooled once.

        Args:
            given: .npz files, and folders of some.
            cache: where the pooled files go.

        Raises:
            UserError: the data are in none of the places given.
        """
        if self.data is None:
            path = synthetic(cache / "synthetic.npz")
            return replace(self, path=path, foreign_path=path)
        foreign = next((path for name in self.foreign if (path := find(name, given))), None)
        path = pooled(_needed(self.data, given), self.side, cache)
        return replace(self, path=path, foreign_path=foreign and pooled(foreign, self.side, cache))

    @property
    def epochs(self) -> int:
        """The length of training."""
        return int(self.options[self.options.index("--epochs") + 1])

    def setting(self, *options: str) -> Options:
        """The bench's options with those of a setting after them."""
        data = ("--data", "vri_pyro.data.NpzFile", "--data.path", str(self.path))
        return (*data, *self.options, *self.optimizer, *self.schedule, *options)

    def fitted(self, cell: Cell) -> Cell:
        """A cell of a study on this bench, with the classifier that belongs to its noise."""
        chosen = dict(zip(cell.options[::2], cell.options[1::2], strict=True)).get("--noise", "").rpartition(".")[2]
        return replace(cell, options=(*cell.options, "--backbone", self.nets[chosen])) if chosen in self.nets else cell


def _needed(name: str, given: list[Path]) -> Path:
    if (path := find(name, given)) is None:
        places = ", ".join(map(str, given)) or "nowhere"
        raise UserError(
            f"there is no {name}.npz (looked in: {places}); name it with --data, or write it with "
            f"python experiments/prepare.py {name}"
        )
    return path


def noise(name: str, rate: float) -> Options:
    """The options of one of the package's noises."""
    return ("--noise", f"vri_pyro.data.{name}", "--noise.rate", str(rate))


def foreign_images(bench: Bench) -> Options:
    """The options of open-set noise that say where its images are from.

    Raises:
        UserError: they are in none of the places given.
    """
    if bench.foreign_path is None:
        raise UserError(f"open-set noise on {bench.title} needs {' or '.join(bench.foreign)}.npz; name it with --data")
    images = ("--noise.images", str(bench.foreign_path))
    return (*images, "--noise.exclude", f"[{','.join(bench.exclude)}]") if bench.exclude else images


def open_set(bench: Bench, rate: float) -> Options:
    """The options of noise that replaces images by the bench's foreign ones."""
    return (*noise("OpenSet", rate), *foreign_images(bench))


def clean_labels(per_class: int) -> Options:
    """The options of a clean set's size."""
    return ("--split.clean_per_class", str(per_class))


def sgd(lr: float, momentum: float) -> Options:
    """The options of the classifier's optimiser."""
    options = {"lr": lr, "momentum": momentum, "weight_decay": 5e-4}
    return ("--optimizer", "torch.optim.SGD", *(x for k, v in options.items() for x in (f"--optimizer.{k}", str(v))))


# Of Tiny ImageNet's classes: those that are kinds of CIFAR-10's.
_LIKE_CIFAR10 = (
    *("cat", "Chihuahua", "terrier", "retriever", "shepherd", "poodle", "goose", "stork", "penguin", "albatross"),
    *("frog", "bullfrog", "gazelle", "car", "limousine", "convertible", "wagon", "van", "lifeboat", "gondola"),
)

COSINE: Options = ("--schedule", "vri_pyro.infer.schedules.Cosine", "--ema", "null")
# A constant rate and averaged weights, as runs by default: what wrong labels do to the last epoch averages out.
AVERAGED: Options = ("--schedule", "vri_pyro.infer.schedules.Constant", "--ema", "0.99")

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
# The paper's data, nets, length and augmentation (its §4); its 1,000 clean labels leave 49,000, of which 200 validate.
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
# Of ten clean labels a class as well, of which 2 validate; there are no images of no class for it.
CIFAR100 = replace(
    CIFAR10,
    title="CIFAR-100",
    data="cifar100",
    foreign=(),
    exclude=(),
    options=(*CIFAR10.options, "--split.clean_per_class", "10", "--split.validation_per_class", "2"),
    chosen_by=2,
    adapted={
        "ELR": ("--method.elr_weight", "7", "--method.momentum", "0.9"),  # its paper's for CIFAR-100
        "WarPI": (  # an embedding as wide as there are classes
            "--method.guide.inputs",
            "[vri_pyro.guides.Logits, {class_path: vri_pyro.guides.LabelEmbedding, init_args: {dim: 100}}]",
        ),
    },
    nets={"UniformExclusive": _RESNET18, "UniformInclusive": _RESNET18, "InstanceDependent": _RESNET34},
)
SCALES = {"small": (FASHION_MNIST_14,), "paper": (CIFAR10,), "tiny": (SYNTHETIC,)}

"""Noisy examples for the bench of the numbers about labels: data sets, noises and numbers of trusted labels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from vri_pyro.data.noise import Flip, Flip2, InstanceDependent, LabelNoise, NoNoise, PairFlip, UniformExclusive
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.noise_aware_head import Labels

NOISES: dict[str, Callable[[float], LabelNoise]] = {
    "flip": Flip,
    "pair": PairFlip,
    "uniform": UniformExclusive,
    "instance": InstanceDependent,
    "flip2": Flip2,
}
GAUSSIANS = {  # classes, distance of the means, examples, imbalance
    "easy": (10, 0.8, 2500, 1.0),
    "mid": (10, 0.5, 2500, 1.0),
    "hard": (10, 0.33, 2500, 1.0),
    "two": (2, 0.2, 2500, 1.0),
    "thirty": (30, 0.6, 4000, 1.0),
    "skew": (10, 0.5, 2500, 10.0),
}
CLUSTERED = {"clusters": 8, "quadrants": 6}  # columns
STORED = ("cifar10", "fashion_mnist")
NAMES = (*GAUSSIANS, *CLUSTERED, "digits", *STORED)
FOREIGN = "open"  # noise where some examples belong to none of the classes
TRUSTED = (3, 30, 100)  # a class: 1 + 2 and 10 + 20 for training and validation; 100
_TWO_CLASSES = ("two", "quadrants")
_DIMENSIONS, _STORED, _CLUSTERED = 64, 3500, 2500
Setting = tuple[str, str, float, int]  # data set, noise, rate, trusted labels a class


class Noisy(NamedTuple):
    """Noisy examples.

    Attributes:
        x: standardised features, [N, D], or images, uint8 [N, H, W, C].
        true: true classes, int64 [N]; -1 for examples of none of the classes.
        given: labels with the noise, also of trusted examples, int64 [N].
        trusted: whether the label is known to be right, bool [N].
        num_classes: number of classes K.
    """

    x: np.ndarray
    true: np.ndarray
    given: np.ndarray
    trusted: np.ndarray
    num_classes: int

    @property
    def wrong(self) -> np.ndarray:
        """Whether the label with the noise is wrong, bool [N]."""
        return self.given != self.true

    @property
    def labels(self) -> Labels:
        """The labels as a method gets them: those of trusted examples are right."""
        return Labels(np.where(self.trusted, self.true, self.given), self.trusted)

    @property
    def counts(self) -> np.ndarray:
        """Number of untrusted examples by true class and given label, [K, K]; those of no class do not count."""
        found = np.zeros((self.num_classes, self.num_classes))
        some = ~self.trusted & (self.true >= 0)
        np.add.at(found, (self.true[some], self.given[some]), 1)
        return found


def cells(trusted: Sequence[int] = TRUSTED, names: Sequence[str] = NAMES) -> list[Setting]:
    """Return every data set under every noise, with each number of trusted labels a class."""
    noises = [(name, rate) for rate in (0.2, 0.4) for name in (*NOISES, FOREIGN)] + [("none", 0.0)]
    found = [(name, *noise, per) for per in trusted for noise in noises for name in names]
    found = [cell for cell in found if not (cell[0] in _TWO_CLASSES and cell[1] in ("flip2", FOREIGN))]
    return sorted(found, key=lambda cell: zlib.crc32(repr(cell).encode()))  # a prefix is a fair sample


def noisy(cell: Setting, generator: np.random.Generator, folder: Path) -> Noisy:
    """Make the examples of a cell; ``folder`` has the frozen features."""
    name, kind, rate, per = cell
    x, z = examples(name, generator, folder)
    size = int(z.max()) + 1
    if kind == FOREIGN:  # the last classes become none, with labels drawn from the others
        size -= round(rate * size)
        foreign = z >= size
        given, z = np.where(foreign, generator.integers(size, size=len(z)), z), np.where(foreign, NO_CLASS, z)
    else:
        noise: LabelNoise = NoNoise() if kind == "none" else NOISES[kind](rate)
        given = noise.apply(z, x, size, generator).labels
    return Noisy(x, z, given, first_of_classes(z, size, per), size)


def first_of_classes(true: np.ndarray, num_classes: int, per: int) -> np.ndarray:
    """Trust the first ``per`` examples of each class, but at most half of them; returns a mask, bool [N]."""
    trusted = np.zeros(len(true), dtype=bool)
    for label in range(num_classes):
        members = np.flatnonzero(true == label)
        trusted[members[: min(per, int(0.5 * len(members)))]] = True
    return trusted


def gaussian(name: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw normal classes around random means."""
    classes, distance, count, ratio = GAUSSIANS[name]
    means = distance * generator.standard_normal((classes, 32))
    share = np.geomspace(ratio, 1, classes)
    z = generator.choice(classes, count, p=share / share.sum())
    return means[z] + generator.standard_normal((count, 32)), z


def clustered(name: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw classes of several normal clusters each, or classes of two opposite quadrants of two columns."""
    noise = generator.standard_normal((_CLUSTERED, CLUSTERED[name]))
    if name == "quadrants":
        return noise, ((noise[:, 0] > 0) ^ (noise[:, 1] > 0)).astype(np.int64)
    means = 2 * generator.standard_normal((20, CLUSTERED[name]))
    of = generator.integers(len(means), size=_CLUSTERED)
    return means[of] + noise, of % 5


def examples(name: str, generator: np.random.Generator, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised features and true classes."""
    if name in GAUSSIANS:
        x, z = gaussian(name, generator)
    elif name in CLUSTERED:
        x, z = clustered(name, generator)
    else:
        x, z = load_digits(return_X_y=True) if name == "digits" else stored(name, folder)
        some = generator.permutation(len(z))[:_STORED]
        x, z = x[some], z[some]
    return (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1), z


@cache
def stored(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the first principal components of frozen features, and the classes."""
    with np.load(folder / f"{name}_features.npz") as file:
        x, z = file["x_train"].astype(np.float64), file["y_train"]
    x -= x.mean(0)
    _, vectors = np.linalg.eigh(x.T @ x)
    return x @ vectors[:, -_DIMENSIONS:], z

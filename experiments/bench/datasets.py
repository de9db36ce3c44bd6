"""The data sets of the bench: images, features of a pretrained network, and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from study.data import find, pooled

from vri_pyro.data import Arrays
from vri_pyro.data.npz import read_npz
from vri_pyro.utils.errors import UserError

Kind = Literal["images", "features", "tables"]
MOST_TEST = 4000


@dataclass(frozen=True)
class Dataset:
    """A data set with verified labels.

    Attributes:
        kind: the kind of inputs.
        load: loads the data, from a folder of .npz files.
        noisy_size: largest number of noisy labels.
        num_classes: number of classes K.
        foreign: name of the .npz file of open-set inputs; None if there are none.
        noises: names of noises that exist for this data set alone.
        side: side to which the open-set images are pooled, in pixels; None to leave them as they are.
    """

    kind: Kind
    load: Callable[[Path], Arrays]
    noisy_size: int
    num_classes: int = 10
    foreign: str | None = None
    noises: tuple[str, ...] = ()
    side: int | None = None


def stored(name: str, side: int | None = None) -> Callable[[Path], Arrays]:
    """Return a loader of ``<name>.npz``, with images pooled to ``side`` pixels."""

    def load(folder: Path) -> Arrays:
        if (path := find(name, [folder])) is None:
            raise UserError(
                f"{name}.npz is not in {folder}; make it with python -m bench.prepare --data DIR, in experiments/"
            )
        path = path if side is None else pooled(path, side, folder)
        found = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
        return _arrays(found["x_train"], found["y_train"], found["x_test"], found["y_test"])

    return load


def digits(folder: Path) -> Arrays:
    """scikit-learn's digits, as vectors."""
    data = load_digits()
    return _divided(data.data, data.target, 400)


def breast_cancer(folder: Path) -> Arrays:
    """scikit-learn's breast cancer data: two classes, 30 features, 569 examples."""
    data = load_breast_cancer()
    return _divided(data.data, data.target, 150)


def hypercubes(folder: Path) -> Arrays:
    """Clusters at the corners of hypercubes, two for each of 6 classes, so that no linear classifier is right."""
    x, y = make_classification(
        9000, 20, n_informative=8, n_redundant=4, n_classes=6, n_clusters_per_class=2, flip_y=0, random_state=7
    )
    return _divided(x, y, 4000)


def rings(folder: Path) -> Arrays:
    """Shells of a 6-dimensional ball, one for each of 3 classes; a linear classifier is at chance."""
    generator = np.random.default_rng(11)
    x = generator.standard_normal((7000, 6))
    radius = np.linalg.norm(x, axis=1)
    y = np.digitize(radius, np.quantile(radius, [1 / 3, 2 / 3]))
    return _divided(x + 0.1 * generator.standard_normal(x.shape), y, 3000)


def gaussian(
    classes: int, count: int, dimensions: int, distance: float, imbalance: float = 1.0
) -> Callable[[Path], Arrays]:
    """Return a loader of Gaussian classes with means drawn at random.

    Args:
        classes: number of classes K.
        count: number of examples for training.
        dimensions: number of features.
        distance: root mean square distance of two means, in standard deviations within a class.
        imbalance: size of the largest class divided by that of the smallest; the sizes form a geometric sequence.
    """

    def load(folder: Path) -> Arrays:
        generator = np.random.default_rng(classes)
        means = generator.standard_normal((classes, dimensions)) * distance / np.sqrt(2 * dimensions)
        share = imbalance ** -np.linspace(0, 1, classes)
        y_train = generator.choice(classes, count, p=share / share.sum())
        y_train[: 40 * classes] = np.repeat(np.arange(classes), 40)
        y_test = np.arange(MOST_TEST) % classes
        x_train, x_test = (means[y] + generator.standard_normal((len(y), dimensions)) for y in (y_train, y_test))
        return _arrays(x_train, y_train, x_test, y_test)

    return load


def _divided(x: np.ndarray, y: np.ndarray, test: int) -> Arrays:
    order = np.random.default_rng(3).permutation(len(y))
    return _arrays(x[order[test:]], y[order[test:]], x[order[:test]], y[order[:test]])


def _arrays(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Arrays:
    x_train, x_test = (x if x.dtype == np.uint8 else x.astype(np.float32) for x in (x_train, x_test))
    names = tuple(map(str, range(int(max(y_train.max(), y_test.max())) + 1)))
    return Arrays(x_train, y_train, x_test[:MOST_TEST], y_test[:MOST_TEST], names)


_CIFAR = ("AsymmetricCIFAR10",)
DATASETS = {
    "Fashion-MNIST, 14 px": Dataset("images", stored("fashion_mnist", 14), 5000, foreign="foreign_mnist", side=14),
    "CIFAR-10, 16 px": Dataset(
        "images", stored("cifar10", 16), 5000, foreign="foreign_tinyimagenet32", noises=_CIFAR, side=16
    ),
    "CIFAR-10, 32 px": Dataset("images", stored("cifar10"), 5000, foreign="foreign_tinyimagenet32", noises=_CIFAR),
    "CIFAR-10 features": Dataset(
        "features", stored("cifar10_features"), 5000, foreign="foreign_tinyimagenet32_features", noises=_CIFAR
    ),
    "Fashion-MNIST features": Dataset(
        "features", stored("fashion_mnist_features"), 5000, foreign="foreign_mnist_features"
    ),
    "digits": Dataset("tables", digits, 1000),
    "breast cancer": Dataset("tables", breast_cancer, 300, 2),
    "hypercubes": Dataset("tables", hypercubes, 4000, 6),
    "rings": Dataset("tables", rings, 3000, 3),
    "Gaussian, 2 classes": Dataset("tables", gaussian(2, 3000, 32, 2.0), 2000, 2),
    "Gaussian, 10 classes": Dataset("tables", gaussian(10, 6000, 64, 4.0), 4000),
    "Gaussian, 10 classes, imbalance 20": Dataset("tables", gaussian(10, 6000, 64, 4.5, 20), 4000),
    "Gaussian, 30 classes": Dataset("tables", gaussian(30, 9000, 64, 5.0), 6000, 30),
    "Gaussian, 100 classes": Dataset("tables", gaussian(100, 16000, 64, 7.0), 8000, 100),
}

"""Images with noisy labels for the bench of the numbers about labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.cells import Cell, recipe
from bench.datasets import DATASETS
from bench.labelled import FOREIGN, NOISES, Noisy, Setting, first_of_classes
from vri_pyro.data import NoNoise

IMAGES = {"fashion_mnist": "Fashion-MNIST, 14 px", "cifar10": "CIFAR-10, 16 px"}
_LABELS = 4000  # that are not trusted


def noisy_images(cell: Setting, generator: np.random.Generator, folder: Path) -> Noisy:
    """Make the examples of a cell, with images uint8 [N, H, W, C]; ``folder`` has the .npz files.

    Under the noise "open", some images are replaced by those of another data set, which belong to no class. As none of
    these is trusted, more than the rate of the other labels is wrong.
    """
    name, kind, rate, per = cell
    dataset = DATASETS[IMAGES[name]]
    arrays, size = dataset.load(folder), dataset.num_classes
    some = generator.permutation(len(arrays.y_train))[: _LABELS + per * size]
    x, z = np.asarray(arrays.x_train)[some], arrays.y_train[some]
    if kind == FOREIGN:
        noise = recipe(Cell(IMAGES[name], "OpenSet", rate, per, 0), folder)
    else:
        noise = NoNoise() if kind == "none" else NOISES[kind](rate)
    found = noise.apply(z, x, size, generator)
    if found.replaced is not None:
        x[found.replaced.positions] = found.replaced.images
    trusted = first_of_classes(found.true_labels, size, per)
    return Noisy(x, found.true_labels, found.labels, trusted, size)

"""A stretch of training with one algorithm, and what it learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from vri_pyro.algorithm import Algorithm
from vri_pyro.data import Augmentation, Examples, NoAugmentation
from vri_pyro.schedules import Schedule


class Phase(NamedTuple):
    """A stretch of training with one algorithm.

    Attributes:
        name: what the metrics call it.
        algorithm: what takes the steps; all phases train the same classifier.
        pool: the examples its first batch is drawn from.
        epochs: its length.
        views: how many augmented views of the first batch the algorithm asks for.
        schedule: its own, in place of the run's.
    """

    name: str
    algorithm: Algorithm
    pool: np.ndarray
    epochs: int
    views: Literal[1, 2] = 1
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Material:
    """What a run learns from and is judged on.

    Attributes:
        train: all training inputs with the labels that training may see.
        test: test inputs and labels; they never choose anything.
        clean: positions of the clean set in ``train``.
        validation: positions of the held-out examples in ``train``, possibly none.
        augmentation, clean_augmentation: of a step's first batch, and of its clean batch.
    """

    train: Examples
    test: Examples
    clean: np.ndarray
    validation: np.ndarray
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()

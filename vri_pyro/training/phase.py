"""A stretch of training by one method, and what it learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from vri_pyro.data import Augmentation, Examples, NoAugmentation
from vri_pyro.infer.learner import Learner
from vri_pyro.infer.schedules import Schedule
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.selection import Selection


class Phase(NamedTuple):
    """A stretch of training by one method.

    Attributes:
        name: what the metrics call it.
        learner: what takes the steps; all phases train the same classifier.
        pool: the examples its first batch is drawn from.
        epochs: its length.
        views: how many augmented views of the first batch the learner asks for.
        schedule: its own, in place of the run's.
        selection: what chooses a clean set from its pool before every epoch, if anything.
        clean_mixup: mixup passes over the clean set between its epochs, if any.
        prepares: whether it is for another phase to look at, so that none of its epochs is the run's best.
    """

    name: str
    learner: Learner
    pool: np.ndarray
    epochs: int
    views: Literal[1, 2] = 1
    schedule: Schedule | None = None
    selection: Selection | None = None
    clean_mixup: CleanMixup | None = None
    prepares: bool = False


@dataclass(frozen=True)
class Material:
    """What a run learns from and is judged on.

    Attributes:
        train: all training inputs with the labels that training may see.
        test: test inputs and labels; they never choose anything.
        clean: positions of the clean set in ``train``, possibly none.
        validation: positions of the held-out examples in ``train``, possibly none.
        augmentation, clean_augmentation: of a step's first batch, and of its clean batch.
    """

    train: Examples
    test: Examples
    clean: np.ndarray
    validation: np.ndarray
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()

"""What an algorithm may look at before an epoch, and the pools that it may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vri_pyro.data import Examples
from vri_pyro.interfaces.classifier import Classifier


class Pools(NamedTuple):
    """Where the batches of a step are drawn from, as positions in the training examples.

    Attributes:
        noisy: of the first batch, int64 [n].
        clean: of the clean batch, int64 [m]; may be empty.
    """

    noisy: np.ndarray
    clean: np.ndarray


@dataclass(frozen=True, eq=False)
class EpochView:
    """A run as it stands before the first step of an epoch.

    Attributes:
        examples: all training examples, with the labels that training may see.
        pools: the phase's own, whatever was drawn from in its earlier epochs.
        epoch: of this phase, from 0.
        epochs: the phase's length.
        batch_size: examples of a first batch.
        num_classes: number of classes K.
        seed: the run's seed.
        predictor: what the run would predict with: the classifier as earlier stages and epochs left it, or the moving
            average of it that the run keeps.
        untrained: whether that has seen no step yet, as before the first epoch of a run's first stage.
    """

    examples: Examples
    pools: Pools
    epoch: int
    epochs: int
    batch_size: int
    num_classes: int
    seed: int
    predictor: Classifier
    untrained: bool = False

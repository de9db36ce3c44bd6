"""The data of a run: what it learns from and what it is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data import Augmentation, Examples, NoAugmentation


@dataclass(frozen=True)
class RunData:
    """What a run learns from and is evaluated on.

    Attributes:
        train: all training inputs with the labels that training may see.
        test: test inputs and labels; nothing is ever chosen by them.
        clean: positions of the clean set in ``train``; may be empty.
        validation: positions of the validation examples in ``train``; may be empty.
        augmentation, clean_augmentation: of the noisy and of the clean batch of a step.
    """

    train: Examples
    test: Examples
    clean: np.ndarray
    validation: np.ndarray
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()

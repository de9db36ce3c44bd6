"""The data of a run: training, validation and test examples, and their augmentation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vri_pyro.data import Augmentation, Examples, NoAugmentation


@dataclass(frozen=True)
class RunData:
    """Training and test examples of a run, with the clean and the validation subset of the training examples.

    Attributes:
        train: all training inputs, with the labels that training may use.
        test: test inputs and labels; used for evaluation only, never to select anything; None without a test set.
        clean: positions of the clean set in ``train``; may be empty.
        validation: positions of the validation examples in ``train``; may be empty.
        augmentation: augmentation of the noisy batches.
        clean_augmentation: augmentation of the clean batches.
        reviewed: positions of the clean examples that were reviewed and not drawn at random, int64; may be empty.
        as_given: the training examples with the noisy labels that reviewed examples had before, for preparatory stages,
            which estimate the noise; None if there are none.
        clean_draws: positions from which clean batches of the clean set are drawn, in which some may be repeated; None
            for ``clean``.
        pair_counts: number of verified pairs by class and label as given, [K, K]; None if there are none.
    """

    train: Examples
    test: Examples | None
    clean: np.ndarray
    validation: np.ndarray
    augmentation: Augmentation = NoAugmentation()
    clean_augmentation: Augmentation = NoAugmentation()
    reviewed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    as_given: Examples | None = None
    clean_draws: np.ndarray | None = None
    pair_counts: np.ndarray | None = None

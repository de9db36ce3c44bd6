"""Scikit-learn's handwritten digits, a small real data set that needs no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.data.sources.base import Source

_TEST_SIZE = 397
_BRIGHTEST = 16


@dataclass(frozen=True)
class Digits(Source):
    """Scikit-learn's digits: 1,400 + 397 grey images, 8x8, 10 classes; no download.

    The images are uint8. The test split is stratified and fixed.

    Reference: Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI 1998.
    """

    def load(self) -> Arrays:
        """Load the digits from scikit-learn."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / _BRIGHTEST)).astype(np.uint8)
        labels = bunch.target.astype(np.int64)
        test = _stratified_mask(labels, _TEST_SIZE)
        return Arrays(
            x_train=images[~test],
            y_train=labels[~test],
            x_test=images[test],
            y_test=labels[test],
            classes=tuple(str(digit) for digit in range(10)),
        )


def _stratified_mask(labels: np.ndarray, size: int) -> np.ndarray:
    """Choose ``size`` examples, stratified by class: bool [N]."""
    order = permutation(generator_for(0, "digits test split"), len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.argsort(position, kind="stable")[:size]] = True
    return mask

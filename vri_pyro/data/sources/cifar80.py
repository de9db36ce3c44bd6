"""CIFAR-100 with its last twenty classes out of distribution."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.torchvision_sets import CIFAR100
from vri_pyro.data.validation import NO_CLASS

_INSIDE = 80


@dataclass(frozen=True)
class CIFAR80(CIFAR100):
    """CIFAR-100's classes 0 to 79, with the images of the others among them: the data of CIFAR-80N.

    A split gives those images uniform labels, and its noise acts on the rest: with ``UniformExclusive`` or ``PairFlip``
    of rate ρ, 0.2 + 0.8ρ of the labels are wrong. Tested on the 8,000 images of the 80 classes.

    Reference: Yao et al., Jo-SRC, CVPR 2021.
    """

    def load(self) -> Arrays:
        """Read CIFAR-100, and take the last twenty classes off.

        Raises:
            UserError: there is no sound copy and none could be fetched.
        """
        arrays = super().load()
        kept = arrays.y_test < _INSIDE
        return replace(
            arrays,
            y_train=np.where(arrays.y_train < _INSIDE, arrays.y_train, NO_CLASS),
            x_test=np.asarray(arrays.x_test)[kept],
            y_test=arrays.y_test[kept],
            classes=arrays.classes[:_INSIDE],
            open_set=True,
        )

"""CIFAR-80, which is CIFAR-100 with its last 20 classes as open-set noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.torchvision_sets import CIFAR100
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.deprecations import accepts_old_arguments

_INSIDE = 80


@accepts_old_arguments
@dataclass(frozen=True)
class CIFAR80(CIFAR100):
    """CIFAR-80N's data: CIFAR-100 with its last 20 classes as open-set noise.

    A split gives the training images of the last 20 classes uniform labels from the first 80 classes. The noise recipe
    is applied to the other images: with ``UniformExclusive`` or ``PairFlip`` of rate ρ, a share 0.2 + 0.8ρ of the
    labels is wrong. The test set contains the 8,000 test images of the first 80 classes.

    Reference: Yao et al., Jo-SRC, CVPR 2021.
    """

    def load(self) -> Arrays:
        """Read CIFAR-100 and mark the training images of the last 20 classes as examples of no class.

        Raises:
            UserError: the local copy is missing or damaged, or the download failed.
        """
        arrays = super().load()
        assert arrays.y_test is not None
        kept = arrays.y_test < _INSIDE
        return replace(
            arrays,
            y_train=np.where(arrays.y_train < _INSIDE, arrays.y_train, NO_CLASS),
            x_test=np.asarray(arrays.x_test)[kept],
            y_test=arrays.y_test[kept],
            classes=arrays.classes[:_INSIDE],
            open_set=True,
        )

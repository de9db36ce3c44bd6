"""Open-set noise: images that belong to none of the classes, under labels of the classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, Replacement, check_class_count, check_rate, count_of
from vri_pyro.data.noise.foreign_images import draw_foreign, read_foreign
from vri_pyro.data.randomness import permutation
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import NO_CLASS


@dataclass(frozen=True)
class OpenSet(LabelNoise):
    """Replaces the images of int(ρN) examples, drawn at random, by images of another data set; labels stay.

    In a :class:`Compose` with closed-set noise after it, that noise acts on the examples left.

    Reference: Wei et al., Open-set label noise can improve robustness against inherent label noise, NeurIPS 2021.

    Attributes:
        images: an .npz file with the other images as ``x_train`` or ``x``, of the data's shape and dtype. Each is used
            once while they last.
        rate: ρ, from 0 to 1.
        exclude: words or whole names; images of classes that have one of them in their name are left out. For sets
            that share classes with the data; the file then has ``y`` and ``names`` too (or ``y_train`` and
            ``classes``).
    """

    images: str | Path
    rate: float
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("OpenSet", self.rate)

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Replace images; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        foreign = read_foreign(Path(self.images), self.exclude, features)
        chosen = np.sort(permutation(generator, len(labels))[: count_of(self.rate, len(labels))])
        true = labels.copy()
        true[chosen] = NO_CLASS
        replaced = Replacement(chosen, draw_foreign(foreign, len(chosen), generator))
        return NoisyLabels(labels.copy(), true, np.eye(num_classes), replaced)

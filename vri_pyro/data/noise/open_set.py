"""Open-set noise, with images that belong to none of the classes."""

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
    """Open-set noise: replaces images by images of another data set; labels stay unchanged.

    Of N examples, int(ρN) are drawn at random. In a :class:`~vri_pyro.data.noise.compose.Compose`, closed-set noise
    after this recipe is applied to the remaining examples.

    Reference: Wei et al., Open-set label noise can improve robustness against inherent label noise, NeurIPS 2021.

    Attributes:
        images: path of an .npz file with the images of another data set, as ``x_train`` or ``x``, in the shape and
            dtype of the data. An image is reused only after all images have been used.
        rate: ρ, the share of replaced images, from 0 to 1.
        exclude: words or full class names; images of classes whose name contains one of them are excluded. Use it if
            the other data set shares classes with the data. The file must then contain ``y`` and ``names`` (or
            ``y_train`` and ``classes``).
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

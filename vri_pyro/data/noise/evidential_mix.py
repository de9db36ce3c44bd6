"""Combined open-set and closed-set noise with exact counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vri_pyro.data.noise.base import (
    LabelNoise,
    NoisyLabels,
    Replacement,
    check_class_count,
    check_rate,
    count_of,
)
from vri_pyro.data.noise.foreign_images import draw_foreign, read_foreign
from vri_pyro.data.randomness import permutation
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import NO_CLASS


@dataclass(frozen=True)
class EvidentialMix(LabelNoise):
    """Combined open-set and closed-set noise, with exact numbers of noisy examples.

    Of N examples, int(ρN) are drawn at random to be noisy. Of these, int(ρsN) keep their label and get an image of
    another data set. The others keep their image and get a label drawn uniformly from all classes. As in the authors'
    code and in inclusive uniform noise, the drawn label may be the true label.

    See :class:`~vri_pyro.data.noise.open_set.OpenSet` for the file of images.

    Reference: Sachdeva et al., EvidentialMix: learning with combined open-set and closed-set noisy labels, WACV 2021.

    Attributes:
        images: path of an .npz file with the images of another data set, as for OpenSet.
        rate: ρ, the share of noisy examples, from 0 to 1.
        share: s, the share of open-set examples among the noisy ones, from 0 to 1.
        exclude: words or full class names; images of classes whose name contains one of them are excluded, as for
            OpenSet.
    """

    images: str | Path
    rate: float
    share: float
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the rate and the share."""
        check_rate("EvidentialMix", self.rate)
        check_rate("EvidentialMix (share)", self.share)

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Replace images and redraw labels; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        foreign = read_foreign(Path(self.images), self.exclude, features)
        order, count = permutation(generator, len(labels)), len(labels)
        noisy, opened = count_of(self.rate, count), count_of(self.rate * self.share, count)
        outside, redrawn = np.sort(order[:opened]), np.sort(order[opened:noisy])
        given, true = labels.copy(), labels.copy()
        given[redrawn] = (generator.random(len(redrawn)) * num_classes).astype(np.int64)
        true[outside] = NO_CLASS
        closed_rate = len(redrawn) / max(count - opened, 1)
        transition = (1.0 - closed_rate) * np.eye(num_classes) + closed_rate / num_classes
        replaced = Replacement(outside, draw_foreign(foreign, opened, generator))
        return NoisyLabels(given, true, transition, replaced)

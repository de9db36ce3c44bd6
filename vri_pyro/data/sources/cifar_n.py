"""CIFAR with labels given by people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise.human_labels import HumanLabels
from vri_pyro.data.randomness import generator_for
from vri_pyro.data.sources.torchvision_sets import CIFAR10, CIFAR100


@dataclass(frozen=True)
class CIFAR10N(CIFAR10):
    """CIFAR-10 with labels given by people, 9% to 40% of them wrong; the true ones are known too.

    Reference: Wei et al., Learning with noisy labels revisited, ICLR 2022.

    Attributes:
        labels: which of the published labels: the majority's, one of three annotators', or the worst.
        file: the published ``CIFAR-10_human.pt``; looked for under ``root`` when None.
    """

    labels: Literal["aggre_label", "random_label1", "random_label2", "random_label3", "worse_label"] = "worse_label"
    file: str | Path | None = None

    def load(self) -> Arrays:
        """Read the images and the labels.

        Raises:
            UserError: either is missing or damaged, or they do not belong together.
        """
        return _with_human_labels(super().load(), self.file or Path(self.root) / "CIFAR-10_human.pt", self.labels)


@dataclass(frozen=True)
class CIFAR100N(CIFAR100):
    """CIFAR-100 with fine labels given by people, 40% of them wrong; the true ones are known too.

    Reference: Wei et al., Learning with noisy labels revisited, ICLR 2022.

    Attributes:
        file: the published ``CIFAR-100_human.pt``; looked for under ``root`` when None.
    """

    file: str | Path | None = None

    def load(self) -> Arrays:
        """Read the images and the labels.

        Raises:
            UserError: either is missing or damaged, or they do not belong together.
        """
        return _with_human_labels(super().load(), self.file or Path(self.root) / "CIFAR-100_human.pt", "noisy_label")


def _with_human_labels(arrays: Arrays, file: str | Path, key: str) -> Arrays:
    recipe = HumanLabels(file, key)
    given = recipe.apply(arrays.y_train, arrays.x_train, arrays.num_classes, generator_for(0)).labels
    return replace(arrays, y_train=given, y_train_clean=arrays.y_train)

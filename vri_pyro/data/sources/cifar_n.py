"""CIFAR-10N and CIFAR-100N, which are CIFAR with human labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise.human_labels import HumanLabels
from vri_pyro.data.randomness import generator_for
from vri_pyro.data.sources.torchvision_sets import CIFAR10, CIFAR100
from vri_pyro.utils.deprecations import accepts_old_arguments


@accepts_old_arguments
@dataclass(frozen=True)
class CIFAR10N(CIFAR10):
    """CIFAR-10N: CIFAR-10 with human labels (9% to 40% wrong) and known true labels.

    Reference: Wei et al., Learning with noisy labels revisited, ICLR 2022.

    Attributes:
        labels: the published label set: majority vote ("aggre_label"), one of three annotators ("random_label1" to
            "random_label3"), or the worst of the three ("worse_label").
        file: path of the published ``CIFAR-10_human.pt``; None for that file under ``path``.
    """

    labels: Literal["aggre_label", "random_label1", "random_label2", "random_label3", "worse_label"] = "worse_label"
    file: str | Path | None = None

    def load(self) -> Arrays:
        """Read the images and the labels.

        Raises:
            UserError: the images or the labels are missing or damaged, or do not belong together.
        """
        return _with_human_labels(super().load(), self.file or Path(self.path) / "CIFAR-10_human.pt", self.labels)


@accepts_old_arguments
@dataclass(frozen=True)
class CIFAR100N(CIFAR100):
    """CIFAR-100N: CIFAR-100 with human fine labels (40% wrong) and known true labels.

    Reference: Wei et al., Learning with noisy labels revisited, ICLR 2022.

    Attributes:
        file: path of the published ``CIFAR-100_human.pt``; None for that file under ``path``.
    """

    file: str | Path | None = None

    def load(self) -> Arrays:
        """Read the images and the labels.

        Raises:
            UserError: the images or the labels are missing or damaged, or do not belong together.
        """
        return _with_human_labels(super().load(), self.file or Path(self.path) / "CIFAR-100_human.pt", "noisy_label")


def _with_human_labels(arrays: Arrays, file: str | Path, key: str) -> Arrays:
    recipe = HumanLabels(file, key)
    given = recipe.apply(arrays.y_train, arrays.x_train, arrays.num_classes, generator_for(0)).labels
    return replace(arrays, y_train=given, y_train_clean=arrays.y_train)

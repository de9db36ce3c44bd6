"""Benchmarks that torchvision reads from local files, and downloads when asked."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.base import Source
from vri_pyro.errors import UserError


@dataclass(frozen=True)
class _TorchvisionSource(Source):
    """What the sets share.

    Attributes:
        root: the folder that holds, or will hold, torchvision's copy.
        download: whether to fetch the set when the copy is missing.
    """

    root: str | Path = "data"
    download: bool = False

    _files: ClassVar[str]

    @abstractmethod
    def _dataset_class(self) -> Any:
        """Torchvision's class of the set, imported only now because torchvision is slow to import."""

    def load(self) -> Arrays:
        """Read the set's local copy, after fetching it if asked.

        Raises:
            UserError: there is no sound copy and none could be fetched.
        """
        train, test = self._part(train=True), self._part(train=False)
        return Arrays(
            x_train=np.asarray(train.data),
            y_train=np.asarray(train.targets, dtype=np.int64),
            x_test=np.asarray(test.data),
            y_test=np.asarray(test.targets, dtype=np.int64),
            classes=tuple(train.classes),
        )

    def _part(self, train: bool) -> Any:
        dataset_class = self._dataset_class()
        try:
            with warnings.catch_warnings():
                # CIFAR's pickles are older than the dtype arguments that NumPy now deprecates.
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                return dataset_class(str(self.root), train=train, download=self.download)
        except (OSError, RuntimeError) as error:
            name, place = type(self).__name__, Path(self.root) / self._files
            if self.download:
                raise UserError(
                    f"{name} could not be downloaded to {self.root} ({error}); put its files at {place}, "
                    "or read arrays with NpzFile."
                ) from error
            raise UserError(
                f"There is no sound copy of {name}: expected are its files at {place}; put them there, "
                "set `download: true`, or read arrays with NpzFile."
            ) from error


@dataclass(frozen=True)
class FashionMNIST(_TorchvisionSource):
    """60,000 + 10,000 grey images of clothes, 28x28, ten classes.

    Reference: Xiao et al., Fashion-MNIST, arXiv:1708.07747.
    """

    _files: ClassVar[str] = "FashionMNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import FashionMNIST as Dataset

        return Dataset


@dataclass(frozen=True)
class CIFAR10(_TorchvisionSource):
    """50,000 + 10,000 colour images, 32x32, ten classes.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    _files: ClassVar[str] = "cifar-10-batches-py"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import CIFAR10 as Dataset

        return Dataset


@dataclass(frozen=True)
class CIFAR100(_TorchvisionSource):
    """50,000 + 10,000 colour images, 32x32, a hundred classes.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    _files: ClassVar[str] = "cifar-100-python"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import CIFAR100 as Dataset

        return Dataset

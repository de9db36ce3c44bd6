"""Benchmarks that torchvision reads from local files, and downloads when asked."""

from __future__ import annotations

import pickle
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.base import Source
from vri_pyro.utils.errors import UserError

# What torchvision raises for missing and for damaged files.
_UNREADABLE = (OSError, RuntimeError, AssertionError, ValueError, LookupError, EOFError, pickle.UnpicklingError)


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

    def _part(self, train: bool) -> dict[str, Any]:
        """How torchvision's class is told which part."""
        return {"train": train}

    @abstractmethod
    def _dataset_class(self) -> Any:
        """Torchvision's class of the set, imported only now because torchvision is slow to import."""

    def load(self) -> Arrays:
        """Read the set's local copy, after fetching it if asked.

        Raises:
            UserError: there is no sound copy and none could be fetched.
        """
        train, test = self._read(train=True), self._read(train=False)
        return Arrays(
            x_train=np.asarray(train.data),
            y_train=np.asarray(train.targets, dtype=np.int64),
            x_test=np.asarray(test.data),
            y_test=np.asarray(test.targets, dtype=np.int64),
            classes=tuple(train.classes),
        )

    def _read(self, train: bool) -> Any:
        """Torchvision's object of a part."""
        dataset_class = self._dataset_class()
        try:
            with warnings.catch_warnings():
                # CIFAR's pickles are older than the dtype arguments that NumPy now deprecates.
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                return dataset_class(str(self.root), **self._part(train), download=self.download)
        except _UNREADABLE as error:
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
class MNIST(_TorchvisionSource):
    """60,000 + 10,000 grey images of digits, 28x28.

    Reference: LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """

    _files: ClassVar[str] = "MNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import MNIST as Dataset

        return Dataset


@dataclass(frozen=True)
class KMNIST(_TorchvisionSource):
    """60,000 + 10,000 grey images of cursive Japanese characters, 28x28, ten classes.

    Reference: Clanuwat et al., Deep learning for classical Japanese literature, arXiv:1812.01718.
    """

    _files: ClassVar[str] = "KMNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import KMNIST as Dataset

        return Dataset


@dataclass(frozen=True)
class SVHN(_TorchvisionSource):
    """73,257 + 26,032 colour images of house numbers' digits, 32x32.

    Reference: Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011.
    """

    _files: ClassVar[str] = "train_32x32.mat and test_32x32.mat"

    def load(self) -> Arrays:
        """See :class:`_TorchvisionSource`."""
        train, test = self._read(train=True), self._read(train=False)
        return Arrays(
            x_train=np.ascontiguousarray(train.data.transpose(0, 2, 3, 1)),
            y_train=train.labels.astype(np.int64),
            x_test=np.ascontiguousarray(test.data.transpose(0, 2, 3, 1)),
            y_test=test.labels.astype(np.int64),
            classes=tuple(str(digit) for digit in range(10)),
        )

    def _part(self, train: bool) -> dict[str, Any]:
        return {"split": "train" if train else "test"}

    def _dataset_class(self) -> Any:
        from torchvision.datasets import SVHN as Dataset

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

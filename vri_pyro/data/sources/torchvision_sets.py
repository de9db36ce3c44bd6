"""Benchmarks read by torchvision from local files, with optional download."""

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
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError

# Exceptions of torchvision for missing and damaged files.
_UNREADABLE = (OSError, RuntimeError, AssertionError, ValueError, LookupError, EOFError, pickle.UnpicklingError)


@dataclass(frozen=True)
class _TorchvisionSource(Source):
    """Base class of benchmarks read by torchvision.

    Attributes:
        path: folder of torchvision's local copy.
        download: whether to download the data set if the local copy is missing.
    """

    path: str | Path = "data"
    download: bool = False

    _files: ClassVar[str]

    def _part(self, train: bool) -> dict[str, Any]:
        """Return the argument of torchvision's class that selects the training or test set."""
        return {"train": train}

    @abstractmethod
    def _dataset_class(self) -> Any:
        """Return torchvision's data set class, imported lazily because torchvision is slow to import."""

    def load(self) -> Arrays:
        """Read the local copy of the data set; download it first if ``download`` is set and it is missing.

        Raises:
            UserError: the local copy is missing or damaged, or the download failed.
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
        """Read the training or test set with torchvision."""
        dataset_class = self._dataset_class()
        try:
            with warnings.catch_warnings():
                # CIFAR's pickle files use dtype arguments that NumPy has since deprecated.
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                return dataset_class(str(self.path), **self._part(train), download=self.download)
        except _UNREADABLE as error:
            name, place = type(self).__name__, Path(self.path) / self._files
            if self.download:
                raise UserError(
                    f"{name} could not be downloaded to {self.path} ({error}); put its files at {place}, "
                    "or load arrays with NpzFile."
                ) from error
            raise UserError(
                f"The local copy of {name} is missing or damaged; expected its files at {place}; put them there, "
                "set `download: true`, or load arrays with NpzFile."
            ) from error


@accepts_old_arguments
@dataclass(frozen=True)
class FashionMNIST(_TorchvisionSource):
    """Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28x28, 10 classes.

    Reference: Xiao et al., Fashion-MNIST, arXiv:1708.07747.
    """

    _files: ClassVar[str] = "FashionMNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import FashionMNIST as Dataset

        return Dataset


@accepts_old_arguments
@dataclass(frozen=True)
class MNIST(_TorchvisionSource):
    """MNIST: 60,000 + 10,000 grey images of handwritten digits, 28x28, 10 classes.

    Reference: LeCun et al., Gradient-based learning applied to document recognition, 1998.
    """

    _files: ClassVar[str] = "MNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import MNIST as Dataset

        return Dataset


@accepts_old_arguments
@dataclass(frozen=True)
class KMNIST(_TorchvisionSource):
    """Kuzushiji-MNIST: 60,000 + 10,000 grey images of Japanese characters, 28x28, 10 classes.

    Reference: Clanuwat et al., Deep learning for classical Japanese literature, arXiv:1812.01718.
    """

    _files: ClassVar[str] = "KMNIST/raw"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import KMNIST as Dataset

        return Dataset


@accepts_old_arguments
@dataclass(frozen=True)
class SVHN(_TorchvisionSource):
    """SVHN: 73,257 + 26,032 colour images of house-number digits, 32x32, 10 classes.

    Reference: Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011.
    """

    _files: ClassVar[str] = "train_32x32.mat and test_32x32.mat"

    def load(self) -> Arrays:
        """See :class:`Source`."""
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


@accepts_old_arguments
@dataclass(frozen=True)
class CIFAR10(_TorchvisionSource):
    """CIFAR-10: 50,000 + 10,000 colour images, 32x32, 10 classes.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    _files: ClassVar[str] = "cifar-10-batches-py"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import CIFAR10 as Dataset

        return Dataset


@accepts_old_arguments
@dataclass(frozen=True)
class CIFAR100(_TorchvisionSource):
    """CIFAR-100: 50,000 + 10,000 colour images, 32x32, 100 classes.

    Reference: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    _files: ClassVar[str] = "cifar-100-python"

    def _dataset_class(self) -> Any:
        from torchvision.datasets import CIFAR100 as Dataset

        return Dataset

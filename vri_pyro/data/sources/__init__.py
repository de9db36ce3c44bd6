"""Data sets, by where they come from."""

from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.digits import Digits
from vri_pyro.data.sources.npz_file import NpzFile
from vri_pyro.data.sources.torchvision_sets import CIFAR10, CIFAR100, FashionMNIST

__all__ = ["CIFAR10", "CIFAR100", "Digits", "FashionMNIST", "NpzFile", "Source"]

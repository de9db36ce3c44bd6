"""Data sources."""

from vri_pyro.data.sources.animal10n import Animal10N
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.cifar80 import CIFAR80
from vri_pyro.data.sources.cifar_n import CIFAR10N, CIFAR100N
from vri_pyro.data.sources.clothing1m import Clothing1M
from vri_pyro.data.sources.datasets_of_items import HuggingFace, TorchDatasets
from vri_pyro.data.sources.digits import Digits
from vri_pyro.data.sources.feature_folder import FeatureFolder
from vri_pyro.data.sources.food101n import Food101N
from vri_pyro.data.sources.image_folder import ImageFolder
from vri_pyro.data.sources.mini_webvision import MiniWebVision
from vri_pyro.data.sources.npz_file import NpzFile
from vri_pyro.data.sources.table import Table
from vri_pyro.data.sources.torchvision_sets import CIFAR10, CIFAR100, KMNIST, MNIST, SVHN, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR10N",
    "CIFAR80",
    "CIFAR100",
    "CIFAR100N",
    "KMNIST",
    "MNIST",
    "SVHN",
    "Animal10N",
    "Clothing1M",
    "Digits",
    "FashionMNIST",
    "FeatureFolder",
    "Food101N",
    "HuggingFace",
    "ImageFolder",
    "MiniWebVision",
    "NpzFile",
    "Source",
    "Table",
    "TorchDatasets",
]

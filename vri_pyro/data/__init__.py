"""Data: sources, label noise, splits, and batches on the device."""

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.batch_order import batch_indices
from vri_pyro.data.batches import Batch, DeviceData
from vri_pyro.data.noise import (
    AsymmetricCIFAR10,
    ClassConditionalNoise,
    Compose,
    Flip,
    Flip2,
    HierarchicalCIFAR100,
    HumanLabels,
    InstanceDependent,
    LabelNoise,
    NoisyLabels,
    NoNoise,
    PairFlip,
    TransitionMatrix,
    UniformExclusive,
    UniformInclusive,
)
from vri_pyro.data.randomness import categorical, generator_for, permutation
from vri_pyro.data.sources import CIFAR10, CIFAR100, Digits, FashionMNIST, NpzFile, Source
from vri_pyro.data.split import Split
from vri_pyro.data.splitting import make_split
from vri_pyro.data.statistics import mean_and_std

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "Arrays",
    "AsymmetricCIFAR10",
    "Batch",
    "ClassConditionalNoise",
    "Compose",
    "DeviceData",
    "Digits",
    "FashionMNIST",
    "Flip",
    "Flip2",
    "HierarchicalCIFAR100",
    "HumanLabels",
    "InstanceDependent",
    "LabelNoise",
    "NoNoise",
    "NoisyLabels",
    "NpzFile",
    "PairFlip",
    "Source",
    "Split",
    "TransitionMatrix",
    "UniformExclusive",
    "UniformInclusive",
    "batch_indices",
    "categorical",
    "generator_for",
    "make_split",
    "mean_and_std",
    "permutation",
]

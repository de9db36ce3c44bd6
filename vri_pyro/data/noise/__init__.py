"""Label noise recipes."""

from vri_pyro.data.noise.asymmetric_cifar10 import AsymmetricCIFAR10
from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, Replacement, check_class_count, check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.noise.compose import Compose
from vri_pyro.data.noise.evidential_mix import EvidentialMix
from vri_pyro.data.noise.flip import Flip
from vri_pyro.data.noise.flip2 import Flip2
from vri_pyro.data.noise.hierarchical_cifar100 import HierarchicalCIFAR100
from vri_pyro.data.noise.human_labels import HumanLabels
from vri_pyro.data.noise.instance_dependent import InstanceDependent
from vri_pyro.data.noise.no_noise import NoNoise
from vri_pyro.data.noise.open_set import OpenSet
from vri_pyro.data.noise.pair_flip import PairFlip
from vri_pyro.data.noise.transition_matrix import TransitionMatrix
from vri_pyro.data.noise.uniform import UniformExclusive, UniformInclusive

__all__ = [
    "AsymmetricCIFAR10",
    "ClassConditionalNoise",
    "Compose",
    "EvidentialMix",
    "Flip",
    "Flip2",
    "HierarchicalCIFAR100",
    "HumanLabels",
    "InstanceDependent",
    "LabelNoise",
    "NoNoise",
    "NoisyLabels",
    "OpenSet",
    "PairFlip",
    "Replacement",
    "TransitionMatrix",
    "UniformExclusive",
    "UniformInclusive",
    "check_class_count",
    "check_rate",
]

"""Methods for learning from noisy labels, one per file."""

from vri_pyro.methods.base import Method, Stage
from vri_pyro.methods.bilevel import Bilevel, EstimatedBilevel, HalfCleanBilevel
from vri_pyro.methods.confident_learning import ConfidentLearning
from vri_pyro.methods.cross_entropy import NoisyCrossEntropy
from vri_pyro.methods.elr import ELR
from vri_pyro.methods.glc import GLC
from vri_pyro.methods.l2rw import L2RW
from vri_pyro.methods.learned_transition import LearnedTransition
from vri_pyro.methods.mixup import Mixup
from vri_pyro.methods.single_level import SingleLevel

__all__ = [
    "ELR",
    "GLC",
    "L2RW",
    "Bilevel",
    "ConfidentLearning",
    "EstimatedBilevel",
    "HalfCleanBilevel",
    "LearnedTransition",
    "Method",
    "Mixup",
    "NoisyCrossEntropy",
    "SingleLevel",
    "Stage",
]

"""Methods for learning from noisy labels, one per file."""

from vri_pyro.methods.base import Method, Stage
from vri_pyro.methods.bilevel import Bilevel, EstimatedBilevel, HalfCleanBilevel
from vri_pyro.methods.bome import BOME
from vri_pyro.methods.confident_learning import ConfidentLearning
from vri_pyro.methods.cross_entropy import NoisyCrossEntropy
from vri_pyro.methods.dividemix import DivideMix
from vri_pyro.methods.elr import ELR
from vri_pyro.methods.emlc import EMLC
from vri_pyro.methods.glc import GLC
from vri_pyro.methods.l2rw import L2RW
from vri_pyro.methods.learned_transition import LearnedTransition
from vri_pyro.methods.mixup import Mixup
from vri_pyro.methods.pes import PES
from vri_pyro.methods.single_level import SingleLevel
from vri_pyro.methods.sop import SOP

__all__ = [
    "BOME",
    "ELR",
    "EMLC",
    "GLC",
    "L2RW",
    "PES",
    "SOP",
    "Bilevel",
    "ConfidentLearning",
    "DivideMix",
    "EstimatedBilevel",
    "HalfCleanBilevel",
    "LearnedTransition",
    "Method",
    "Mixup",
    "NoisyCrossEntropy",
    "SingleLevel",
    "Stage",
]

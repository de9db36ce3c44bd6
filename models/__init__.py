"""Generative models of the given labels, as Pyro models, and priors of the rectifying vector."""

from vri_pyro.models.corrected_cross_entropy import CorrectedCrossEntropy
from vri_pyro.models.cross_entropy import CrossEntropy
from vri_pyro.models.forward_correction import ForwardCorrection
from vri_pyro.models.gated_rectification import GatedRectification
from vri_pyro.models.hierarchical_rectification import HierarchicalRectification
from vri_pyro.models.learned_normal import LearnedNormal
from vri_pyro.models.masked_guide import MaskedGuide
from vri_pyro.models.mixture_of_normals import MixtureOfNormals
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.models.rectification import Rectification
from vri_pyro.models.standard_normal import StandardNormal
from vri_pyro.models.vamp_prior import VampPrior
from vri_pyro.models.weighted_cross_entropy import WeightedCrossEntropy

__all__ = [
    "CorrectedCrossEntropy",
    "CrossEntropy",
    "ForwardCorrection",
    "GatedRectification",
    "HierarchicalRectification",
    "LearnedNormal",
    "MaskedGuide",
    "MixtureOfNormals",
    "PriorNetwork",
    "Rectification",
    "StandardNormal",
    "VampPrior",
    "WeightedCrossEntropy",
]

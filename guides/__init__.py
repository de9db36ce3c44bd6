"""Amortised posteriors, as Pyro guides, and their inputs."""

from vri_pyro.guides.diagonal_normal import DiagonalNormal
from vri_pyro.guides.dirac_vector import DiracVector
from vri_pyro.guides.gated import Gated
from vri_pyro.guides.hierarchical import Hierarchical
from vri_pyro.guides.inputs import Features, LabelEmbedding, LabelOneHot, Logits, Loss
from vri_pyro.guides.label_correction import LabelCorrection
from vri_pyro.guides.low_rank_normal import LowRankNormal
from vri_pyro.guides.no_latents import NoLatents
from vri_pyro.guides.normalising_flow import NormalisingFlow
from vri_pyro.guides.scalar_weight import ScalarWeight

__all__ = [
    "DiagonalNormal",
    "DiracVector",
    "Features",
    "Gated",
    "Hierarchical",
    "LabelCorrection",
    "LabelEmbedding",
    "LabelOneHot",
    "Logits",
    "Loss",
    "LowRankNormal",
    "NoLatents",
    "NormalisingFlow",
    "ScalarWeight",
]

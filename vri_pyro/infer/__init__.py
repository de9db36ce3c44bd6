"""The inference engine: the ELBO, the hypergradient, and the algorithms that train a classifier with them."""

from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.cut import Cut, TensorCut
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.functional import ReplayedCall, loss_and_gradient
from vri_pyro.infer.half_clean_bilevel import HalfCleanBilevelSVI
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    Inner,
    Problem,
    Result,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.infer.schedules import Constant, Cosine, CyclicCosine, LinearWarmUp, Schedule
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.infer.virtual_step import AddedGradient, GradientStep, OptimizerStep, VirtualStep

__all__ = [
    "AddedGradient",
    "Algorithm",
    "BilevelSVI",
    "Constant",
    "Cosine",
    "Cut",
    "CyclicCosine",
    "GradientStep",
    "HalfCleanBilevelSVI",
    "Hypergradient",
    "Inner",
    "LinearWarmUp",
    "OptimizerStep",
    "Problem",
    "RectificationELBO",
    "ReplayedCall",
    "Result",
    "Schedule",
    "SingleLevelSVI",
    "SplitFiniteDifference",
    "SplitForwardDifference",
    "SplitJVP",
    "SplitVJP",
    "TensorCut",
    "Unrolled",
    "VirtualStep",
    "loss_and_gradient",
]

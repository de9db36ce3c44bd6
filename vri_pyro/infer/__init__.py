"""The inference engine: the ELBO, the hypergradient, and the algorithms that train a classifier with them."""

from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.infer.schedules import Constant, Cosine, CyclicCosine, LinearWarmUp, Schedule
from vri_pyro.infer.single_level import SingleLevelSVI

__all__ = [
    "Algorithm",
    "BilevelSVI",
    "Constant",
    "Cosine",
    "CyclicCosine",
    "Hypergradient",
    "LinearWarmUp",
    "RectificationELBO",
    "Schedule",
    "SingleLevelSVI",
    "SplitFiniteDifference",
    "SplitForwardDifference",
    "SplitJVP",
    "SplitVJP",
    "Unrolled",
]

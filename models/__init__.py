"""The generative side: Pyro models of the given labels, and the priors they are built with."""

from vri_pyro.models.cross_entropy import CrossEntropy
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.models.rectification import Rectification

__all__ = ["CrossEntropy", "PriorNetwork", "Rectification"]

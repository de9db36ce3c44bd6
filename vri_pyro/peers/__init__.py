"""The peers of variational rectification that are no (model, guide) pair, in the same frame."""

from vri_pyro.peers.early_learning import ELR
from vri_pyro.peers.mixup import Mixup
from vri_pyro.peers.reweighting import L2RW

__all__ = ["ELR", "L2RW", "Mixup"]

"""The peers of variational rectification, in its frame: what another paper does, where no (model, guide) pair says it."""

from vri_pyro.peers.early_learning import ELR
from vri_pyro.peers.mixup import Mixup
from vri_pyro.peers.reweighting import L2RW

__all__ = ["ELR", "L2RW", "Mixup"]

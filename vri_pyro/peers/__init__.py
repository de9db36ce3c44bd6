"""The peers of variational rectification that are no (model, guide) pair, in the same frame."""

from vri_pyro.peers.confident_learning import ConfidentLearning
from vri_pyro.peers.cross_entropy import NoisyCrossEntropy
from vri_pyro.peers.early_learning import ELR
from vri_pyro.peers.gold_loss_correction import GLC
from vri_pyro.peers.mixup import Mixup
from vri_pyro.peers.reweighting import L2RW

__all__ = ["ELR", "GLC", "L2RW", "ConfidentLearning", "Mixup", "NoisyCrossEntropy"]

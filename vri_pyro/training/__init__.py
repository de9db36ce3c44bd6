"""The training loop: stages, batches, state, evaluation, checkpoints, loggers and the run folder."""

from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.selection import GaussianMixture, Selection, SmallLoss
from vri_pyro.training.trunk import Trunk

__all__ = ["CleanMixup", "GaussianMixture", "Selection", "SmallLoss", "Trunk"]

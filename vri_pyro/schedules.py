"""Learning-rate schedules, as functions of the progress alone: there is no state to save."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class Schedule(ABC):
    """A factor on the classifier's learning rate."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """The factor at ``progress`` in [0, 1) of the training."""


class Constant(Schedule):
    """The learning rate as given."""

    def factor(self, progress: float) -> float:
        """See :class:`Schedule`."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from the learning rate down to nothing (Loshchilov & Hutter, 2017), every step a little."""

    def factor(self, progress: float) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * progress))

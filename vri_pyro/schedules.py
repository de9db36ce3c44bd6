"""Learning-rate schedules, as functions of the time alone: there is no state to save."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class Schedule(ABC):
    """A factor on the classifier's learning rate."""

    @abstractmethod
    def factor(self, epoch: float, epochs: int) -> float:
        """The factor at a time within a phase.

        Args:
            epoch: epochs since the phase began, in [0, epochs), with the part of the current one that is done.
            epochs: the phase's length.
        """


class Constant(Schedule):
    """The learning rate as given."""

    def factor(self, epoch: float, epochs: int) -> float:
        """See :class:`Schedule`."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from the learning rate down to nothing (Loshchilov & Hutter, 2017), every step a little."""

    def factor(self, epoch: float, epochs: int) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * epoch / epochs))

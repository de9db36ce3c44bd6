"""Learning-rate schedules, as functions of the time alone: there is no state to save."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from vri_pyro.utils.errors import UserError


class Schedule(ABC):
    """A factor on the classifier's learning rate."""

    @abstractmethod
    def factor(self, epoch: float, epochs: float) -> float:
        """The factor at a time within a phase.

        Args:
            epoch: epochs since the phase began, in [0, epochs), with the part of the current one that is done.
            epochs: the phase's length.
        """


class Constant(Schedule):
    """The learning rate as given."""

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from the learning rate down to nothing (Loshchilov & Hutter, 2017), every step a little."""

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class CyclicCosine(Schedule):
    """Cosines down to nothing and up again, for ever, one step an epoch.

    That is PyTorch's ``CosineAnnealingLR`` called once an epoch and gone on with past its ``T_max``, as the authors'
    script does with a ``T_max`` of 5: the factor of epoch e is (1 + cos(πe / T_max)) / 2. So the learning rate is
    exactly 0 for all of epoch T_max, and again every 2 · T_max epochs.

    Attributes:
        half_period: ``T_max``, the epochs from the learning rate down to nothing.

    Reference: Loshchilov & Hutter (2017), who restart at the top instead; Sun et al. (2025), their script.
    """

    half_period: int = 5

    def __post_init__(self) -> None:
        """Check the period."""
        if self.half_period < 1:
            raise UserError(f"schedule.half_period is {self.half_period}; give at least 1 epoch")

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * math.floor(epoch) / self.half_period))


@dataclass(frozen=True)
class LinearWarmUp(Schedule):
    """A straight line up to the learning rate, then another schedule over the rest of the phase.

    Attributes:
        then: the schedule after it.
        epochs: length of the line; may be a fraction.
        start: factor at its beginning, above 0.

    Reference: Goyal et al. (2017), gradual warm-up.
    """

    then: Schedule
    epochs: float = 5.0
    start: float = 0.1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.epochs > 0:
            raise UserError(f"schedule.epochs is {self.epochs}; give more than 0")
        if not 0 < self.start <= 1:
            raise UserError(f"schedule.start is {self.start}; give a factor above 0 and up to 1")

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        if epoch < self.epochs:
            return self.start + (1 - self.start) * epoch / self.epochs
        return self.then.factor(epoch - self.epochs, epochs - self.epochs)

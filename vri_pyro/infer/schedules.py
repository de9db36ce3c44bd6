"""Stateless learning-rate schedules, as functions of time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, check_number


class Schedule(ABC):
    """Base class of learning-rate schedules: a factor on the classifier's learning rate."""

    @abstractmethod
    def factor(self, epoch: float, epochs: float) -> float:
        """Return the factor on the learning rate at a time within a stage.

        Args:
            epoch: number of epochs since the stage began, in [0, epochs); fractional within an epoch.
            epochs: length of the stage in epochs.
        """


class Constant(Schedule):
    """Constant learning rate."""

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 1.0


class Cosine(Schedule):
    """Cosine annealing from the learning rate to 0, updated every step.

    Reference: Loshchilov & Hutter (2017).
    """

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class CyclicCosine(Schedule):
    """Cosine annealing to 0 and back to the learning rate, repeated; updated once per epoch.

    This equals PyTorch's ``CosineAnnealingLR`` called once per epoch and continued past its ``T_max``. The authors'
    script uses it with a ``T_max`` of 5. The factor of epoch e is (1 + cos(πe / T_max)) / 2. The learning rate is
    therefore exactly 0 during the whole of epoch T_max, and again every 2 · T_max epochs.

    Attributes:
        half_period: ``T_max``, number of epochs in which the factor falls from 1 to 0.

    Raises:
        UserError: ``half_period`` is below 1.

    Reference: Loshchilov & Hutter (2017), who restart at the full learning rate instead; the released script of Sun et
        al. (2025).
    """

    half_period: int = 5

    def __post_init__(self) -> None:
        """Validate the half period."""
        check_integer("schedule.half_period", self.half_period, 1)

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * math.floor(epoch) / self.half_period))


@dataclass(frozen=True)
class LinearWarmUp(Schedule):
    """Linear warm-up to the learning rate, then another schedule over the rest of the stage.

    Attributes:
        then: the schedule after the warm-up.
        epochs: length of the warm-up in epochs; may be fractional.
        start: factor at the start of the warm-up, in (0, 1].

    Raises:
        UserError: ``epochs`` or ``start`` is out of range.

    Reference: Goyal et al. (2017), gradual warm-up.
    """

    then: Schedule
    epochs: float = 5.0
    start: float = 0.1

    def __post_init__(self) -> None:
        """Validate the options."""
        if not isinstance(self.then, Schedule):
            raise UserError(f"schedule.then is {self.then!r}; expected a schedule, such as Cosine()")
        check_number("schedule.epochs", self.epochs, above=0)
        check_number("schedule.start", self.start, above=0, at_most=1)

    def factor(self, epoch: float, epochs: float) -> float:
        """See :class:`Schedule`."""
        if epoch < self.epochs:
            return self.start + (1 - self.start) * epoch / self.epochs
        return self.then.factor(epoch - self.epochs, epochs - self.epochs)

"""Skip updates with non-finite losses or gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import mean
from vri_pyro.utils.numbers import check_integer


class NonFiniteError(UserError):
    """Too many consecutive steps had a non-finite loss, gradient or buffer."""


class FiniteGuard:
    """Decides whether an update is applied or skipped, and raises after too many consecutive skipped updates.

    Args:
        max_skipped: number of consecutive skipped updates, without a completed step in between, after which
            :class:`NonFiniteError` is raised.

    Attributes:
        skipped: number of updates skipped so far.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        check_integer("max_skipped", max_skipped, 1)
        self.max_skipped = max_skipped
        self.skipped = 0
        self._in_a_row = 0

    @staticmethod
    def read(metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Copy scalars to the host; the only host-device synchronisation of a step, one for all of them."""
        values = mean([torch.stack(list(metrics.values()))])[0]  # so that all processes decide alike
        return dict(zip(metrics, values.tolist(), strict=True))

    @staticmethod
    def found_inf(metrics: Mapping[str, Tensor]) -> Tensor:
        """Whether any of the scalars is non-finite, as the number 1.0 or 0.0, []; decided on their device."""
        return mean([torch.stack(list(metrics.values()))])[0].isfinite().all().logical_not().float()

    def admits(self, values: Mapping[str, float]) -> bool:
        """Return whether the values are all finite; if not, count the update as skipped.

        Args:
            values: values by name, as :meth:`read` returns them.

        Raises:
            NonFiniteError: ``max_skipped`` consecutive updates have been skipped, this one included.
        """
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if not broken:
            return True
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= self.max_skipped:
            raise NonFiniteError(
                f"{', '.join(broken)}: non-finite for {self._in_a_row} consecutive steps; "
                "training stopped. Files saved earlier are intact. Lower the learning rates or check the scale of the "
                "inputs"
            )
        return False

    def step_completed(self) -> None:
        """Reset the count of consecutive skipped updates; called when all updates of a step were applied."""
        self._in_a_row = 0

    def state_dict(self) -> dict[str, int]:
        """Return the counters."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the counters."""
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]

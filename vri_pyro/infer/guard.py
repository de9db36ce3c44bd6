"""Keeps losses and gradients that are not finite away from the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError


class NonFiniteError(UserError):
    """Too many steps in a row had a loss or a gradient that was not finite."""


class FiniteGuard:
    """Decides whether an update may happen, and gives up after a run of steps with a refusal.

    Each decision waits once for the device.

    Args:
        max_skipped: refusals, with no completed step in between, before :class:`NonFiniteError`.

    Attributes:
        skipped: refusals so far.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        self.max_skipped = max_skipped
        self.skipped = 0
        self._in_a_row = 0

    def admits(self, metrics: Mapping[str, Tensor], names: Sequence[str]) -> bool:
        """Whether the named scalars are all finite.

        Raises:
            NonFiniteError: when this is the last refusal in a row that is tolerated.
        """
        if bool(torch.stack([metrics[name] for name in names]).isfinite().all()):
            return True
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= self.max_skipped:
            broken = [name for name in names if not bool(metrics[name].isfinite())]
            raise NonFiniteError(
                f"{', '.join(broken)}: not finite in {self._in_a_row} steps in a row; "
                "training stopped and what was saved before is intact: lower the learning rates or look at the "
                "inputs' scale"
            )
        return False

    def step_completed(self) -> None:
        """Note that every update of a step was admitted, which ends a run of refusals."""
        self._in_a_row = 0

    def state_dict(self) -> dict[str, int]:
        """The counts."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take over the counts."""
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]

"""Skip updates with non-finite losses or gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer


class NonFiniteError(UserError):
    """Too many consecutive steps had a non-finite loss, gradient or buffer."""


class FiniteGuard:
    """Decides whether an update is applied or skipped, and raises after too many consecutive skipped updates.

    Each decision synchronises host and device once.

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

    def admits(self, metrics: Mapping[str, Tensor], names: Sequence[str]) -> bool:
        """Return whether the named scalars are all finite; if not, count the update as skipped.

        Args:
            metrics: scalars by name.
            names: names of the scalars to check.

        Raises:
            NonFiniteError: ``max_skipped`` consecutive updates have been skipped, this one included.
        """
        if bool(torch.stack([metrics[name] for name in names]).isfinite().all()):
            return True
        self.skipped += 1
        self._in_a_row += 1
        if self._in_a_row >= self.max_skipped:
            broken = [name for name in names if not bool(metrics[name].isfinite())]
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

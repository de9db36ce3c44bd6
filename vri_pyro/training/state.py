"""The state of a run, besides its algorithms and the random state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from vri_pyro.infer.metrics import Metrics


@dataclass
class TrainerState:
    """How far a run has come: everything that changes besides the algorithms and the random state.

    Attributes:
        epoch, step: what comes next, from 0; ``step`` within the epoch.
        rows: the metrics of the epochs done.
        sums, counts: of the current epoch's finite step metrics.
        best: validation accuracy of the best epoch so far.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    sums: Metrics = field(default_factory=dict)
    counts: Metrics = field(default_factory=dict)
    best: float = -math.inf

    def add(self, metrics: Metrics) -> None:
        """Add one step's metrics; what a skipped step has of non-finite values does not count."""
        for name, value in metrics.items():
            finite = value.isfinite()
            zero = value.new_zeros(())
            self.sums[name] = self.sums.get(name, zero) + torch.where(finite, value, zero)
            self.counts[name] = self.counts.get(name, zero) + finite.to(value.dtype)

    def means(self) -> dict[str, float]:
        """The current epoch's mean of each metric, not a number where no step had a finite value."""
        names = list(self.sums)
        means = torch.stack([self.sums[n] / self.counts[n] for n in names]) if names else torch.zeros(0)
        return dict(zip(names, means.tolist(), strict=True))

"""Progress of a run: position, metrics and best validation accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from vri_pyro.infer.metrics import Metrics


@dataclass
class TrainerState:
    """Progress and metrics of a run; algorithms and random states are stored separately.

    Attributes:
        epoch: next epoch, from 0.
        step: next step within the epoch, from 0.
        rows: metrics of the completed epochs, one row per epoch.
        sums: sum of the finite values of each step metric in the current epoch.
        counts: number of finite values of each step metric in the current epoch.
        best: best validation accuracy so far, in percent.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    sums: Metrics = field(default_factory=dict)
    counts: Metrics = field(default_factory=dict)
    best: float = -math.inf

    def __post_init__(self) -> None:
        """Check the types, since the values may come from a file."""
        rows = isinstance(self.rows, list) and all(
            isinstance(row, dict) and {"epoch", "stage"} <= row.keys() for row in self.rows
        )
        if not (rows and isinstance(self.epoch, int) and isinstance(self.step, int)):
            raise TypeError("the progress has no valid epoch, step and rows")

    def add(self, metrics: Metrics) -> None:
        """Add the metrics of one step; non-finite values, as in a skipped step, are ignored."""
        for name, value in metrics.items():
            finite = value.isfinite()
            zero = value.new_zeros(())
            self.sums[name] = self.sums.get(name, zero) + torch.where(finite, value, zero)
            self.counts[name] = self.counts.get(name, zero) + finite.to(value.dtype)

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over the current epoch; NaN if no step had a finite value."""
        names = list(self.sums)
        means = torch.stack([self.sums[n] / self.counts[n] for n in names]) if names else torch.zeros(0)
        return dict(zip(names, means.tolist(), strict=True))

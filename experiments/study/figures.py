"""Figures that several studies draw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from study.records import Records


def lines(axis: Axes, records: Records, positions: Mapping[str, float], which: str = "last") -> None:
    """Test accuracy over a number that the settings differ in: a line a method, mean and standard deviation of seeds.

    Args:
        axis: where to draw.
        records: what to draw.
        positions: the number of each setting.
        which: last, last_10 or chosen.
    """
    for method in records.methods:
        at = [setting for setting in positions if records.of(method, setting)]
        values = [list(records.accuracies(method, setting, which).values()) for setting in at]
        errors = [np.std(some, ddof=1) if len(some) > 1 else 0.0 for some in values]
        axis.errorbar([positions[s] for s in at], list(map(np.mean, values)), errors, capsize=3, label=method)

"""Figures used by several studies: means with standard deviations over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.records import Records

# Function of (method, setting) that returns one value per seed.
Values = Callable[[str, str], Sequence[float]]


def last_accuracies(records: Records) -> Values:
    """Return the test accuracies in percent after the last epoch."""
    return lambda method, setting: list(records.accuracies(method, setting).values())


def last_of_curve(records: Records, metric: str) -> Values:
    """Return a metric's values in the last epoch; empty if the runs do not have the metric."""

    def values(method: str, setting: str) -> Sequence[float]:
        curves = records.curves(method, setting, metric)
        return curves[:, -1].tolist() if curves.size else []

    return values


def lines(axis: Axes, records: Records, positions: Mapping[str, float], values: Values | None = None) -> None:
    """Draw one line per method over a numerical property of the settings.

    Args:
        axis: axes to draw on.
        records: records of the methods to draw.
        positions: x value of each setting.
        values: values to draw; the test accuracies after the last epoch when None.
    """
    values = values or last_accuracies(records)
    for method in records.methods:
        found = {setting: values(method, setting) for setting in positions}
        at = [setting for setting, some in found.items() if len(some)]
        if at:
            means, errors = zip(*(_mean_and_sd(found[setting]) for setting in at), strict=True)
            axis.errorbar([positions[setting] for setting in at], means, errors, capsize=3, label=method)


def dots(axis: Axes, records: Records, values: Values | None = None) -> None:
    """Draw one group of dots per setting, with one colour per method.

    Args:
        axis: axes to draw on.
        records: records of the methods and settings to draw.
        values: values to draw; the test accuracies after the last epoch when None.
    """
    values = values or last_accuracies(records)
    for number, method in enumerate(records.methods):
        shift = (number - (len(records.methods) - 1) / 2) * 0.8 / max(1, len(records.methods))
        found = [(x, values(method, setting)) for x, setting in enumerate(records.settings)]
        at = [(x + shift, *_mean_and_sd(some)) for x, some in found if len(some)]
        if at:
            x, means, errors = zip(*at, strict=True)
            axis.errorbar(x, means, errors, linestyle="none", capsize=3, markersize=7, label=method)
    axis.set_xticks(range(len(records.settings)), records.settings)
    axis.grid(axis="x", visible=False)
    axis.set_xlim(-0.5, len(records.settings) - 0.5)


def accuracy_figure(records: Records, legend: str | None = None) -> Figure:
    """Draw the test accuracies after the last epoch by setting and method.

    Args:
        records: records of the runs.
        legend: title of the legend.
    """
    figure = Figure(figsize=(max(9.0, 1.4 * len(records.settings)), 4.4))
    axis = figure.subplots()
    dots(axis, records)
    axis.set_ylabel("test accuracy (%), last epoch")
    axis.set_xticks(axis.get_xticks(), [setting.replace(", ", "\n") for setting in records.settings])
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4, title=legend)
    return figure


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

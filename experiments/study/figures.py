"""Figures that several studies draw: numbers of the runs with their standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.records import Records

# The numbers of a cell, a seed each: of (method, setting).
Values = Callable[[str, str], Sequence[float]]


def last_accuracies(records: Records) -> Values:
    """Test accuracies in percent after the last epoch."""
    return lambda method, setting: list(records.accuracies(method, setting).values())


def last_of_curve(records: Records, metric: str) -> Values:
    """A metric of the last epoch; of runs that have it."""

    def values(method: str, setting: str) -> Sequence[float]:
        curves = records.curves(method, setting, metric)
        return curves[:, -1].tolist() if curves.size else []

    return values


def lines(axis: Axes, records: Records, positions: Mapping[str, float], values: Values | None = None) -> None:
    """A line a method over a number that the settings differ in.

    Args:
        axis: where to draw.
        records: whose methods to draw.
        positions: the number of each setting.
        values: what to draw; the last test accuracy when None.
    """
    values = values or last_accuracies(records)
    for method in records.methods:
        found = {setting: values(method, setting) for setting in positions}
        at = [setting for setting, some in found.items() if len(some)]
        if at:
            means, errors = zip(*(_mean_and_sd(found[setting]) for setting in at), strict=True)
            axis.errorbar([positions[setting] for setting in at], means, errors, capsize=3, label=method)


def dots(axis: Axes, records: Records, values: Values | None = None) -> None:
    """A column of dots a setting, a colour a method, side by side.

    Args:
        axis: where to draw.
        records: whose methods and settings to draw.
        values: what to draw; the last test accuracy when None.
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
    """The last test accuracies by setting and method.

    Args:
        records: of the runs.
        legend: its title.
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

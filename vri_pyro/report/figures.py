"""Figures of the report: curves, histograms, bars, intervals and reliability diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from vri_pyro.diagnostics.calibration import Calibration
from vri_pyro.report.names import drawable, key
from vri_pyro.report.part import Drawing
from vri_pyro.report.svg import MARKS, SERIES, WIDTH, drawing, style

_LEGEND_ROOM = 48  # largest number of characters of a legend entry
_LETTER, _HANDLE = 5.3, 36.0  # widths of a character and of a line handle in a legend, in points
_ENOUGH = 10  # predictions in a bin for its accuracy to be plotted
_ROW = 0.27  # height of a row of bars or intervals, in inches
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # (epochs, values) by name


class Interval(NamedTuple):
    """Low and high ends of intervals, one for each row of a figure."""

    low: Sequence[float]
    high: Sequence[float]


def curves(shown: Curves, label: str, caption: str, borders: Sequence[float] = ()) -> Drawing:
    """Plot metrics over the epochs.

    Args:
        shown: the lines by name, at least one.
        label: label of the vertical axis.
        caption: caption of the drawing.
        borders: positions on the epoch axis that dotted lines mark; the caption explains them.
    """
    names = drawable([*shown], "run", _LEGEND_ROOM)
    with style():
        figure = Figure(figsize=(WIDTH, 2.8))
        axis = figure.subplots()
        for border in borders:
            axis.axvline(border, color="#111111", linewidth=1, linestyle=":")
        for name, (epochs, values) in zip(names, shown.values(), strict=True):
            # Matplotlib omits labels that start with an underscore from the legend.
            label_shown = f" {name}" if name.startswith("_") else name
            axis.plot(epochs, values, label=label_shown, markevery=max(1, len(epochs) // 12))
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if len(shown) > 1:
            figure.legend(loc="outside upper left", ncols=_columns(names))
        return drawing(figure, caption + key([*shown], names))


def _columns(names: Sequence[str]) -> int:
    """Return the largest number of legend columns, at most 3, that fits the width of the figure."""
    for columns in (3, 2):
        characters = sum(max(map(len, column), default=0) for column in np.array_split([*names], columns))
        if characters * _LETTER + columns * _HANDLE <= 72 * WIDTH:
            return columns
    return 1


def histogram(
    values: Mapping[str, np.ndarray],
    label: str,
    caption: str,
    reach: tuple[float, float] = (0.0, 1.0),
    counted: str = "examples",
) -> Drawing:
    """Plot a stacked histogram.

    Args:
        values: the values by name of their group.
        label: label of the horizontal axis.
        caption: caption of the drawing.
        reach: range of the bins.
        counted: what is counted, the label of the vertical axis.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 2.8))
        axis = figure.subplots()
        axis.hist(
            [*values.values()],
            bins=np.linspace(*reach, 31).tolist(),
            stacked=True,
            label=[*values],
            color=SERIES[: len(values)],
        )
        axis.set(xlabel=label, ylabel=counted)
        axis.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if len(values) > 1:
            figure.legend(loc="outside upper left", ncols=3)
        return drawing(figure, caption)


def bars(values: Mapping[str, float], label: str, caption: str, chance: float) -> Drawing:
    """Plot horizontal bars of values from 0 to 1, with the values in a column on the right.

    Args:
        values: the values by name.
        label: label of the horizontal axis.
        caption: caption of the drawing.
        chance: the value at chance level, marked by a dotted line.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 0.7 + _ROW * len(values)))
        axis = _rows(figure, [*values])
        axis.barh(range(len(values)), [*values.values()], height=0.62, color=SERIES[0])
        axis.axvline(chance, color="#111111", linewidth=1, linestyle=":")
        axis.set(xlabel=label, xlim=(0, 1), xticks=np.linspace(0, 1, 6))
        beside = axis.secondary_yaxis("right")
        beside.set_yticks(range(len(values)), [f"{value:.3f}" for value in values.values()])
        beside.tick_params(length=0)
        beside.spines["right"].set_visible(False)
        return drawing(figure, caption)


def intervals(
    names: Sequence[str],
    shown: Mapping[str, Sequence[float]],
    label: str,
    caption: str,
    around: Interval | None = None,
) -> Drawing:
    """Plot values as marks in rows, one kind of mark for each series.

    Args:
        names: names of the rows.
        shown: the values of each series, one for each row; NaN leaves a row out.
        label: label of the horizontal axis.
        caption: caption of the drawing.
        around: intervals around the values of the first series.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 0.95 + _ROW * len(names)))
        axis = _rows(figure, names)
        if around is not None:
            axis.hlines(range(len(names)), around.low, around.high, color=SERIES[0], linewidth=2)
        for (name, values), colour, mark in zip(shown.items(), SERIES, MARKS, strict=False):
            axis.plot(
                values,
                range(len(names)),
                linestyle="",
                marker=mark,
                markersize=6,
                color=colour,
                label=name,
                clip_on=False,
            )
        axis.set(xlabel=label, xlim=(0, None), ylim=(len(names) - 0.5, -0.5))
        if len(shown) > 1:
            figure.legend(loc="outside upper left", ncols=3)
        return drawing(figure, caption)


def _rows(figure: Figure, names: Sequence[str]) -> Axes:
    """Return axes with a named row for each bar or interval, the first on top."""
    axis = figure.subplots()
    axis.set_yticks(range(len(names)), names)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.invert_yaxis()
    return axis


def reliability(shown: Mapping[str, Calibration]) -> Drawing:
    """Plot a reliability diagram above a histogram of the confidences.

    Bins with fewer than 10 predictions are omitted from the curve.

    Args:
        shown: calibrations by name.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 4.2))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        above.plot([0, 1], [0, 1], color="#cccccc", marker="", linewidth=1.2)
        for number, (name, found) in enumerate(shown.items()):
            curve, colour = found.reliability, SERIES[number]
            enough = curve.counts >= _ENOUGH
            above.plot(curve.confidence[enough], curve.accuracy[enough], color=colour, label=name)
            edges = np.linspace(0, 1, len(curve.counts) + 1)
            below.stairs(curve.counts, edges, color=colour, fill=number == 0, alpha=0.8, baseline=0.5)
        below.axhline(_ENOUGH, color="#111111", linewidth=1, linestyle=":")
        above.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
        below.set(xlabel="confidence", ylabel="examples", yscale="log", ylim=(0.5, None))
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        if len(shown) > 1:
            figure.legend(loc="outside upper left", ncols=_columns([*shown]))
        caption = (
            "Reliability diagram: accuracy of the predictions by confidence. Below the diagonal the classifier is "
            "overconfident, above it underconfident. The lower panel shows the number of predictions in each bin on a "
            f"logarithmic scale; bins with fewer than {_ENOUGH} predictions (below the dotted line) are omitted from "
            "the curve."
        )
        return drawing(figure, caption)

"""Figures of the report: curves, histograms, bars, reliability diagrams and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from vri_pyro.diagnostics.calibration import Calibration
from vri_pyro.report.names import drawable, key
from vri_pyro.report.part import Drawing
from vri_pyro.report.svg import SERIES, drawing, style

_WIDTH = 4.6
_NAMED = 20  # largest number of classes whose names are shown on an axis
_NAMED_BRIEFLY, _BRIEF = 30, 2  # the same for short names, and the length of a short name
_NUMBERED = 12  # largest number of classes for which the cells show their values
_AXIS_ROOM, _LEGEND_ROOM = 16, 48  # largest number of characters of a tick label and of a legend entry
_IN_A_ROW = 30  # characters in a row of tick labels above which they are rotated
_LETTER, _HANDLE = 5.3, 36.0  # widths of a character and of a line handle in a legend, in points
_ENOUGH = 10  # predictions in a bin for its accuracy to be plotted
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # (epochs, values) by name


def curves(shown: Curves, label: str, caption: str, starts: Mapping[str, float] | None = None) -> Drawing:
    """Plot metrics over the epochs.

    Args:
        shown: the lines by name, at least one.
        label: label of the vertical axis.
        caption: caption of the drawing.
        starts: positions on the epoch axis at which the stages start, by the name of the stage.
    """
    names = drawable([*shown], "run", _LEGEND_ROOM)
    with style():
        figure = Figure(figsize=(_WIDTH, 2.8))
        axis = figure.subplots()
        for name, (epochs, values) in zip(names, shown.values(), strict=True):
            # Matplotlib omits labels that start with an underscore from the legend.
            label_shown = f" {name}" if name.startswith("_") else name
            axis.plot(epochs, values, label=label_shown, markevery=max(1, len(epochs) // 12))
        for name, start in (starts or {}).items():
            axis.axvline(start, color="#cccccc", linewidth=1)
            axis.annotate(
                name,
                (start, 1),
                (2, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=7,
                va="top",
            )
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if len(shown) > 1:
            figure.legend(loc="outside upper left", ncols=_columns(names))
        return drawing(figure, caption + key([*shown], names))


def _columns(names: Sequence[str]) -> int:
    """Return the largest number of legend columns, at most 3, that fits the width of the figure."""
    for columns in (3, 2):
        characters = sum(max(map(len, column), default=0) for column in np.array_split([*names], columns))
        if characters * _LETTER + columns * _HANDLE <= 72 * _WIDTH:
            return columns
    return 1


def histogram(
    values: Mapping[str, np.ndarray], label: str, caption: str, reach: tuple[float, float] = (0.0, 1.0)
) -> Drawing:
    """Plot a stacked histogram.

    Args:
        values: the values by name of their group.
        label: label of the horizontal axis.
        caption: caption of the drawing.
        reach: range of the bins.
    """
    with style():
        figure = Figure(figsize=(_WIDTH, 2.6))
        axis = figure.subplots()
        colours = SERIES if len(values) > 1 else SERIES[:1]
        axis.hist(
            [*values.values()],
            bins=np.linspace(*reach, 31).tolist(),
            stacked=True,
            label=[*values],
            color=colours[: len(values)],
        )
        axis.set(xlabel=label, ylabel="examples")
        if len(values) > 1:
            figure.legend(loc="outside upper left", ncols=3)
        return drawing(figure, caption)


def bars(values: Mapping[str, float], label: str, caption: str, chance: float) -> Drawing:
    """Plot horizontal bars of values from 0 to 1, each annotated with its value.

    Args:
        values: the values by name.
        label: label of the horizontal axis.
        caption: caption of the drawing.
        chance: the value at chance level, marked by a dotted line.
    """
    with style():
        figure = Figure(figsize=(_WIDTH, 0.9 + 0.3 * len(values)))
        axis = figure.subplots()
        shown = axis.barh([*values], [*values.values()], height=0.62, color=SERIES[0])
        axis.bar_label(shown, fmt="%.3f", padding=3, fontsize=8)
        axis.axvline(chance, color="#111111", linewidth=1, linestyle=":")
        axis.set(xlabel=label, xlim=(0, 1.12), xticks=np.linspace(0, 1, 6))
        axis.grid(axis="y", visible=False)
        axis.invert_yaxis()
        return drawing(figure, caption)


def reliability(shown: Mapping[str, Calibration]) -> Drawing:
    """Plot a reliability diagram above a histogram of the confidences.

    Bins with fewer than 10 predictions are omitted from the curve.

    Args:
        shown: calibrations by name.
    """
    with style():
        figure = Figure(figsize=(_WIDTH, 3.8))
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
            figure.legend(loc="outside upper left", ncols=2)
        caption = (
            "Reliability diagram: accuracy of the predictions by confidence. On the diagonal, confidence equals "
            "accuracy. The lower panel shows the number of predictions in each bin on a logarithmic scale; bins with "
            f"fewer than {_ENOUGH} predictions (below the dotted line) are omitted from the curve."
        )
        return drawing(figure, caption)


def are_named(classes: Sequence[str]) -> bool:
    """Whether a matrix shows the names of the classes rather than their numbers."""
    return len(classes) <= (_NAMED_BRIEFLY if max(map(len, classes)) <= _BRIEF else _NAMED)


def matrix(values: np.ndarray, classes: Sequence[str], rows: str, columns: str, caption: str) -> Drawing:
    """Plot a matrix of shares.

    Args:
        values: shares from 0 to 1, [K, K]; larger shares are darker.
        classes: names of the classes, [K].
        rows: label of the vertical axis.
        columns: label of the horizontal axis.
        caption: caption of the drawing.
    """
    count = len(classes)
    with style():
        figure = Figure(figsize=(_WIDTH, _WIDTH * 0.92))
        axis = figure.subplots()
        # The share is the opacity, so that empty cells have the background colour in light and dark mode.
        cells = np.empty((*values.shape, 4))
        cells[..., :3] = to_rgb(SERIES[0])
        cells[..., 3] = np.nan_to_num(values).clip(0, 1)
        axis.imshow(cells, interpolation="none")
        axis.set(xlabel=columns, ylabel=rows)
        axis.grid(False)
        if are_named(classes):
            names = drawable(classes, "class", _AXIS_ROOM)
            size = 8 if count <= _NUMBERED else 7
            axis.set_xticks(
                range(count), names, rotation=90 if count * max(map(len, names)) > _IN_A_ROW else 0, fontsize=size
            )
            axis.set_yticks(range(count), names, fontsize=size)
            caption += key(classes, names)
        else:
            for one in (axis.xaxis, axis.yaxis):
                one.set_major_locator(MaxNLocator(integer=True))
            caption += f" Classes are numbered from 0 to {count - 1}."
        if count <= _NUMBERED:
            _write(axis, values)
        return drawing(figure, caption)


def _write(axis: Axes, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005:
            colour = "white" if value > 0.55 else "#111111"
            text = f"{value:.2f}".removeprefix("0")
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)

"""The kinds of figures that a page has."""

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
_NAMED, _NAMED_BRIEFLY, _BRIEF = 20, 30, 2  # classes whose names have room on an axis, in general and of few letters
_NUMBERED = 12  # classes up to which numbers stay readable in cells
_AXIS_ROOM, _LEGEND_ROOM, _IN_A_ROW = 16, 48, 30  # characters: of a name on an axis, of one in a legend, side by side
_LETTER, _HANDLE = 5.3, 36.0  # widths within a legend, in points
_ENOUGH = 10  # predictions of a confidence, for their accuracy to say something
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name → (epochs, values)


def curves(shown: Curves, label: str, caption: str, starts: Mapping[str, float] | None = None) -> Drawing:
    """Lines over the epochs.

    Args:
        shown: at least one line.
        label: of the vertical axis.
        caption: of the drawing.
        starts: where phases begin, by their names, if there are several.
    """
    names = drawable([*shown], "run", _LEGEND_ROOM)
    with style():
        figure = Figure(figsize=(_WIDTH, 2.8))
        axis = figure.subplots()
        for name, (epochs, values) in zip(names, shown.values(), strict=True):
            label_shown = f" {name}" if name.startswith("_") else name  # a legend leaves out what begins like that
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
    """Of a legend that has room for them."""
    for columns in (3, 2):
        letters = sum(max(map(len, some), default=0) for some in np.array_split([*names], columns))
        if letters * _LETTER + columns * _HANDLE <= 72 * _WIDTH:
            return columns
    return 1


def histogram(
    values: Mapping[str, np.ndarray], label: str, caption: str, reach: tuple[float, float] = (0.0, 1.0)
) -> Drawing:
    """Counts of numbers within a reach, group upon group."""
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
    """Horizontal bars of numbers up to 1, each with its number; what chance gives is a line."""
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
    """Accuracy over confidence where there are predictions enough, and how many have it."""
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
            "Accuracy of predictions by their confidence; on the diagonal, confidence is right. Below, how many have "
            f"that confidence, on a logarithmic scale; fewer than {_ENOUGH}, under the dotted line, are too few for a "
            "point."
        )
        return drawing(figure, caption)


def are_named(classes: Sequence[str]) -> bool:
    """Whether a matrix has room for the names of its classes."""
    return len(classes) <= (_NAMED_BRIEFLY if max(map(len, classes)) <= _BRIEF else _NAMED)


def matrix(values: np.ndarray, classes: Sequence[str], rows: str, columns: str, caption: str) -> Drawing:
    """A matrix of shares from 0 to 1, darker for more; [K, K]."""
    count = len(classes)
    with style():
        figure = Figure(figsize=(_WIDTH, _WIDTH * 0.92))
        axis = figure.subplots()
        # Through what is empty the page shows, whatever its colour.
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
            caption += f" Classes by their numbers, from 0 to {count - 1}."
        if count <= _NUMBERED:
            _write(axis, values)
        return drawing(figure, caption)


def _write(axis: Axes, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005:
            colour = "white" if value > 0.55 else "#111111"
            text = f"{value:.2f}".removeprefix("0")
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)

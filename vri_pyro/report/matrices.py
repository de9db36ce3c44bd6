"""Drawings of confusion and transition matrices: the matrix itself, or its largest entries for many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from vri_pyro.report.figures import Interval, histogram, intervals
from vri_pyro.report.names import drawable, key
from vri_pyro.report.part import Drawing
from vri_pyro.report.svg import SERIES, WIDTH, drawing, style

_NAMED = 20  # largest number of classes whose names fit the axes of a matrix
_NAMED_BRIEFLY, _BRIEF = 30, 2  # the same for short names, and the length of a short name
_NUMBERED = 12  # largest number of classes for which the cells show their values
_AXIS_ROOM, _ROW_ROOM = 16, 17  # largest number of characters of a name on an axis, and in a row
_IN_A_ROW = 30  # characters in a row of tick labels above which they are rotated
_LARGEST = 12  # entries that are shown of a matrix of many classes
_LISTED = 8  # confusions that are listed in words


def fits(classes: Sequence[str]) -> bool:
    """Whether the names of the classes fit the axes of a matrix."""
    return len(classes) <= (_NAMED_BRIEFLY if max(map(len, classes)) <= _BRIEF else _NAMED)


def likeliest(shares: np.ndarray, most: int = _LISTED) -> list[tuple[int, int]]:
    """Return the cells of the largest off-diagonal shares.

    Args:
        shares: a confusion or transition matrix, [K, K]; NaN counts as 0.
        most: largest number of cells.

    Returns:
        (row, column) of the cells, the largest share first; cells with share 0 are left out.
    """
    off = np.nan_to_num(shares) * (1 - np.eye(len(shares)))
    largest = np.argsort(-off, axis=None, kind="stable")[:most]
    cells = [divmod(int(position), len(shares)) for position in largest]
    return [cell for cell in cells if off[cell] > 0]


def matrix(values: np.ndarray, classes: Sequence[str], rows: str, columns: str, caption: str) -> Drawing:
    """Plot a matrix of shares.

    Args:
        values: shares from 0 to 1, [K, K]; larger shares are darker.
        classes: names of the classes, [K], which :func:`fits` accepts.
        rows: label of the vertical axis.
        columns: label of the horizontal axis.
        caption: caption of the drawing.
    """
    count, names = len(classes), drawable(classes, "class", _AXIS_ROOM)
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.88))
        axis = figure.subplots()
        # The share is the opacity, so that empty cells have the background colour in light and dark mode.
        cells = np.empty((*values.shape, 4))
        cells[..., :3] = to_rgb(SERIES[0])
        cells[..., 3] = np.nan_to_num(values).clip(0, 1)
        axis.imshow(cells, interpolation="none")
        axis.set(xlabel=columns, ylabel=rows)
        axis.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axis.grid(False)
        axis.grid(which="minor", linewidth=0.5)
        axis.tick_params(which="both", length=0)
        axis.spines[:].set_visible(False)
        size = 9 if count <= _NUMBERED else 8
        upright = 90 if count * max(map(len, names)) > _IN_A_ROW else 0
        axis.set_xticks(range(count), names, rotation=upright, fontsize=size)
        axis.set_yticks(range(count), names, fontsize=size)
        if count <= _NUMBERED:
            _write(axis, values)
        return drawing(figure, caption + key(classes, names))


def _write(axis: Axes, values: np.ndarray) -> None:
    size = 11 if len(values) <= 5 else 9 if len(values) <= 10 else 8
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005:
            colour = "white" if value > 0.85 else "#111111"  # the one with more contrast
            text = f"{value:.2f}".removeprefix("0")
            axis.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def largest_entries(
    shown: Mapping[str, np.ndarray],
    classes: Sequence[str],
    label: str,
    caption: str,
    around: tuple[np.ndarray, np.ndarray] | None = None,
) -> Drawing:
    """Plot the largest off-diagonal entries of a matrix, compared with the same entries of other matrices.

    Args:
        shown: matrices by name, [K, K] each; the first one determines the entries.
        classes: names of the classes, [K].
        label: label of the horizontal axis.
        caption: caption of the drawing.
        around: low and high ends of the intervals of the first matrix's entries, [K, K] each.
    """
    cells = likeliest(next(iter(shown.values())), _LARGEST)
    names = drawable(classes, "class", _ROW_ROOM)
    rows = [f"{names[row]} → {names[column]}" for row, column in cells]
    series = {name: [float(values[cell]) for cell in cells] for name, values in shown.items()}
    ends = None if around is None else Interval(*([float(end[cell]) for cell in cells] for end in around))
    involved = sorted({number for cell in cells for number in cell})
    explained = key([classes[number] for number in involved], [names[number] for number in involved])
    return intervals(rows, series, label, caption + explained, ends)


def diagonals(values: np.ndarray, label: str, caption: str) -> Drawing:
    """Plot a histogram of the diagonal of a matrix of shares, one entry for each class.

    Args:
        values: shares from 0 to 1, [K, K]; NaN is left out.
        label: label of the horizontal axis.
        caption: caption of the drawing.
    """
    shares = np.diag(values)
    return histogram({"classes": shares[~np.isnan(shares)]}, label, caption, counted="classes")

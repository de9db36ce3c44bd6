"""Drawing of the panels, for one run and for a comparison of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from study.page import COLOURS

from instruments.panels import DASHED, DOTTED, PANELS, SOLID, Line, Panel, pick

_COLUMNS = 4
_GREY = "0.45"
_MANY = 3  # names in a legend of one column
Anatomies = Mapping[str, Mapping[str, Any]]


def numbered(anatomy: Mapping[str, Any]) -> list[int]:
    """Number the epochs so that the first one after the preparatory stages is 1; those before are at most 0."""
    before = sum(one["stage"] in anatomy["preparatory"] for one in anatomy["epochs"])
    return [number - before + 1 for number in range(len(anatomy["epochs"]))]


def draw_run(anatomy: Mapping[str, Any], title: str) -> Figure:
    """Draw all panels for which a run has figures."""
    shown = [panel for panel in PANELS if any(_values(anatomy, line) is not None for line in panel.lines)]
    figure, axes = _grid(len(shown), title)
    for axis, panel in zip(axes, shown, strict=True):
        for line in panel.lines:
            _line(axis, anatomy, line, line.label, line.colour, line.style)
        _finish(axis, panel, [anatomy])
        _legend(axis)
    return figure


def draw_comparison(anatomies: Anatomies, title: str) -> Figure:
    """Draw the compared lines of all panels, with one colour for each method."""
    shown = [
        panel
        for panel in PANELS
        if any(_values(one, line) is not None for one in anatomies.values() for line in panel.compared)
    ]
    figure, axes = _grid(len(shown), title)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(anatomies)}
    for axis, panel in zip(axes, shown, strict=True):
        for name, anatomy in anatomies.items():
            for line, style in zip(panel.compared, (SOLID, DASHED), strict=False):
                _line(axis, anatomy, line, None, colours[name], style)
        _finish(axis, panel, list(anatomies.values()))
        for line, style in zip(panel.compared, (SOLID, DASHED), strict=False):
            axis.plot([], [], style, color=_GREY, marker="", label=line.label)
        _legend(axis)
    handles = [Line2D([], [], color=colour, marker="o", label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _legend(axis: Axes) -> None:
    lines, names = axis.get_legend_handles_labels()
    columns = 2 if len(lines) > _MANY else 1
    axis.legend(lines, names, fontsize=7.5, handlelength=2.8, markerscale=0, ncols=columns, columnspacing=1)


def _grid(count: int, title: str) -> tuple[Figure, list[Axes]]:
    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(4.1 * _COLUMNS, 3.1 * rows + 0.5))
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=12)
    return figure, axes[:count]


def _values(anatomy: Mapping[str, Any], line: Line, path: str | None = None) -> np.ndarray | None:
    """Return a figure by epoch, NaN where it is missing; None if it is missing everywhere."""
    found = [pick(one, path or line.path) for one in anatomy["epochs"]]
    if all(value is None for value in found):
        return None
    return np.array([np.nan if value is None else value for value in found])


def _line(axis: Axes, anatomy: Mapping[str, Any], line: Line, label: str | None, colour: str, style: str) -> None:
    values = _values(anatomy, line)
    if values is None:
        return
    x = np.array(numbered(anatomy))
    axis.plot(x, values, style, color=colour, label=label, marker="o", markersize=3)
    if line.band is not None and label is not None:
        low, high = (_values(anatomy, line, path) for path in line.band)
        if low is not None and high is not None:
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _finish(axis: Axes, panel: Panel, anatomies: Sequence[Mapping[str, Any]]) -> None:
    axis.set_title(panel.title, fontsize=10)
    axis.tick_params(labelsize=8)
    drawn = [line.get_xydata() for line in axis.lines]
    known = np.concatenate([points[~np.isnan(points[:, 1]), 0] for points in drawn])
    axis.set_xlim(known.min() - 0.5, known.max() + 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("epoch", fontsize=8)
    if known.min() < 1:
        axis.axvspan(known.min() - 0.5, 0.5, color="0.92", zorder=0)
    if panel.reference is not None:
        name, path = panel.reference
        axis.axhline(pick(anatomies[0]["truth"], path), color=_GREY, linestyle=DOTTED, label=name, marker="")
    if panel.limits is not None:
        low, high = panel.limits
        top = 1.08 * axis.get_ylim()[1] if high is None else high
        if len(axis.get_legend_handles_labels()[0]) > _MANY:
            top += 0.15 * (top - low)  # room for the legend
        pad = 0.03 * (top - low)
        axis.set_ylim(low - pad, top + pad)

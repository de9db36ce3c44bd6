"""Drawing of the panels, for one run and for a comparison of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from study.page import COLOURS

from instruments.panels import DASHED, DOTTED, PANELS, SOLID, Line, Panel, pick

_COLUMNS = 4
_GREY = "0.45"
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
        axis.legend(fontsize=7.5, loc="best")
    return figure


def draw_comparison(anatomies: Anatomies, title: str) -> Figure:
    """Draw the compared lines of all panels, with one colour for each method."""
    shown = [
        panel
        for panel in PANELS
        if any(_values(one, line) is not None for one in anatomies.values() for line in panel.compared)
    ]
    figure, axes = _grid(len(shown), title)
    methods = []
    for axis, panel in zip(axes, shown, strict=True):
        for (name, anatomy), colour in zip(anatomies.items(), _cycled(COLOURS), strict=False):
            for line, style in zip(panel.compared, (SOLID, DASHED), strict=False):
                _line(axis, anatomy, line, None, colour, style)
        _finish(axis, panel, list(anatomies.values()))
        told = [axis.plot([], [], style, color=_GREY, marker="", label=line.label)[0]
                for line, style in zip(panel.compared, (SOLID, DASHED), strict=False)]
        told += [line for line in axis.lines if line.get_gid() == "reference"]
        axis.legend(handles=told, fontsize=7.5, loc="best")
    for name, colour in zip(anatomies, _cycled(COLOURS), strict=False):
        methods += axes[0].plot([], [], color=colour, marker="o", label=name)
    figure.legend(handles=methods, loc="outside lower center", ncols=len(methods))
    return figure


def _cycled(colours: Sequence[str]) -> Iterable[str]:
    return (colours[number % len(colours)] for number in range(10**6))


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


def _line(
    axis: Axes, anatomy: Mapping[str, Any], line: Line, label: str | None, colour: str, style: str
) -> None:
    values = _values(anatomy, line)
    if values is None:
        return
    x = np.array(numbered(anatomy))
    axis.plot(x, values, style, color=colour, label=label, marker="o", markersize=3)
    if line.band is not None and label is not None:
        low, high = (_end(anatomy, line, values, path) for path in line.band)
        if low is not None and high is not None:
            axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _end(anatomy: Mapping[str, Any], line: Line, values: np.ndarray, path: str) -> np.ndarray | None:
    """Return one end of a band; a path with a sign is a standard deviation, of which it is two from the line."""
    sign = {"-": -2.0, "+": 2.0}.get(path[0])
    found = _values(anatomy, line, path.lstrip("+-"))
    return found if sign is None or found is None else values + sign * found


def _finish(axis: Axes, panel: Panel, anatomies: Sequence[Mapping[str, Any]]) -> None:
    axis.set_title(panel.title, fontsize=10)
    axis.tick_params(labelsize=8)
    if panel.reference is not None:
        name, path = panel.reference
        axis.axhline(pick(anatomies[0]["truth"], path), color=_GREY, linestyle=DOTTED, label=name, gid="reference")
    first = min(min(numbered(one)) for one in anatomies)
    last = max(max(numbered(one)) for one in anatomies)
    axis.set_xlim(first - 0.5, last + 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    if first < 1:
        axis.axvspan(first - 0.5, 0.5, color="0.92", zorder=0)
    if panel.limits is not None:
        low, high = panel.limits
        pad = 0.02 * ((high or axis.get_ylim()[1]) - (low or 0))
        axis.set_ylim(None if low is None else low - pad, None if high is None else high + pad)
    axis.set_xlabel("epoch", fontsize=8)

"""Matplotlib figures as inline SVG whose colours are CSS variables of the page, for light and dark mode."""

from __future__ import annotations

import io
import itertools
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from vri_pyro.report.part import Drawing

# The colour-blind safe palette of Okabe and Ito, in the order of use; page.css has a lighter variant for dark mode.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FONT = "DejaVu Sans"  # bundled with Matplotlib, which lays out text in it; the page shows the text in its own font
WIDTH = 5.0  # width of a figure, in inches
MARKS = ("o", "s", "^", "D", "v", "P")
_INK, _GRID, _PAPER = "#111111", "#cccccc", "#fefefe"
_VARIABLES = {_INK: "--ink", _GRID: "--line", _PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)
}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.prop_cycle": cycler(linestyle=["-", "--", ":", "-."]) * (cycler(color=SERIES) + cycler(marker=MARKS)),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.family": FONT,
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": _INK,
    "xtick.labelcolor": _INK,
    "ytick.color": _INK,
    "ytick.labelcolor": _INK,
}
_numbers = itertools.count()


def style() -> AbstractContextManager[None]:
    """Return a context manager that sets the Matplotlib style of the report's figures."""
    return mpl.rc_context(_STYLE)


def drawing(figure: Figure, caption: str) -> Drawing:
    """Convert a figure, created within :func:`style`, to inline SVG."""
    text = io.StringIO()
    # The salt makes identifiers unique among the figures, which share one document.
    with mpl.rc_context(_STYLE | {"svg.hashsalt": f"figure {next(_numbers)}"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.IGNORECASE)
    # Without width and height, the style sheet sets the size; the view box keeps the aspect ratio.
    svg = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", svg, count=1)
    svg = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", svg, count=1)
    return Drawing(svg.strip(), caption)

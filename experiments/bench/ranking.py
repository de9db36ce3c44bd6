"""Ranks of methods over cells, and the critical-difference diagram."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata, studentized_range

Accuracies = Mapping[str, Mapping[str, float]]  # by method and cell


def ranks(accuracies: Accuracies) -> dict[str, dict[str, float]]:
    """Return each method's rank among the methods in a cell, by method and cell; equal accuracies share their rank."""
    found: dict[str, dict[str, float]] = {}
    for cell in {cell: None for of in accuracies.values() for cell in of}:
        here = [method for method, of in accuracies.items() if cell in of]
        for method, rank in zip(here, rankdata([-accuracies[method][cell] for method in here]), strict=True):
            found.setdefault(method, {})[cell] = float(rank)
    return found


def common(accuracies: Accuracies) -> dict[str, dict[str, float]]:
    """Return the accuracies in the cells in which every method has one."""
    cells = set.intersection(*(set(of) for of in accuracies.values()))
    return {method: {cell: value for cell, value in of.items() if cell in cells} for method, of in accuracies.items()}


def critical_difference(methods: int, cells: int, level: float = 0.05) -> float:
    """Return the difference of mean ranks above which two of several methods differ, by Nemenyi's test.

    Reference: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006, section 3.2.2.
    """
    quantile = studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * cells)))


def cliques(means: Mapping[str, float], difference: float) -> list[tuple[float, float]]:
    """Return the maximal intervals of mean ranks within which no two methods differ by more than ``difference``."""
    order = sorted(means.values())
    found: list[tuple[float, float]] = []
    for low in order:
        high = max(rank for rank in order if rank - low <= difference)
        if high > low and not (found and found[-1][1] >= high):
            found.append((low, high))
    return found


def diagram(accuracies: Accuracies) -> Figure:
    """Draw the mean ranks on a line; bars connect methods whose difference is not significant."""
    shared = common(accuracies)
    means = {method: float(np.mean(list(of.values()))) for method, of in ranks(shared).items()}
    order = sorted(means, key=means.__getitem__)
    cells = len(next(iter(shared.values())))
    difference = critical_difference(len(order), cells)
    figure = Figure(figsize=(9, 0.6 + 0.32 * len(order)), layout="constrained")
    axes = figure.subplots()
    for row, method in enumerate(order):
        axes.plot([means[method]] * 2, [0, -row - 1], color="0.7", linewidth=0.8)
        axes.plot(means[method], 0, "o", color="C0" if row == 0 else "0.3")
        axes.text(means[method] + 0.08, -row - 1, f"{method} ({means[method]:.1f})", va="center", fontsize=9)
    for level, (low, high) in enumerate(cliques(means, difference)):
        axes.plot([low, high], [0.45 + 0.3 * level] * 2, color="C1", linewidth=3, solid_capstyle="butt")
    axes.set_xlim(min(means.values()) - 0.3, max(means.values()) + 3)
    axes.set_ylim(-len(order) - 0.7, 2.2)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.set_title(
        f"mean rank over {cells} cells; bars: difference below {difference:.2f}, not significant", fontsize=9
    )
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    return figure

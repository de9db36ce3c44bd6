"""The page and the picture of a study of the numbers about labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from study.page import COLOURS, STYLE
from study.tables import markdown_table

from bench.alternatives import CERTIFIED, POWERED

METHODS = ("ours", "predictions", "100 checks", "200 checks", CERTIFIED, POWERED, "cleanlab", "margin", "GLC")
_DRAWN = ("ours", "predictions", "200 checks", CERTIFIED)  # in the picture
_HEAD = ("method", "runs", "coverage", "mean width", "interval score", "bias ± s.e.", "ECE, worst", "Brier", "AUROC")
_HEAD += ("AP", "missed", "T: coverage, width, error", "CPU s")
_LEGEND = """\
Width, interval score, and bias with its standard error are in percentage points. The interval score is the width, plus
40 times the distance by which the interval misses the rate. ECE is the expected calibration error of the scores, the
mean over runs and the worst run. "Missed" is the share of the wrong labels that are not among the most suspicious, of
which as many are taken as labels are wrong. T is the transition matrix: the share of its entries whose 95% interval
contains the share of the given label among the untrusted examples of the class, up to half a label, the mean width of
the intervals, and the mean absolute error of the estimates, in points. A method's CPU seconds include all that its
ranking and its interval need, but no work of a person. Fields are empty where runs were not asked for them."""


def page(
    records: list[dict[str, Any]], title: str, text: str, command: str, picture: str, groups: Sequence[Sequence[str]]
) -> str:
    """Return the page of results in Markdown.

    Args:
        records: what was measured, a cell each.
        title: title of the page.
        text: description of the study.
        command: command by which the records were made.
        picture: file name of the picture.
        groups: names of the data sets and of the noises, see :func:`summary`.
    """
    parts = [
        f"# {title}",
        f"By `{command}`, from the records in the JSON file of this name.",
        text,
        _LEGEND,
        summary(records, groups),
        f"![Errors of the noise rate]({picture})",
        "Left: stated minus true rate with the 95% interval, one line a run, by the width of the interval. Right: "
        "interval scores, less is better.",
    ]
    return "\n\n".join(parts) + "\n"


def figure(records: list[dict[str, Any]]) -> Figure:
    """Draw the interval of each run, and the interval scores by the number of trusted labels a class."""
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(9, 3.6))
        runs, bars = drawn.subplots(1, 2, width_ratios=(3, 2))
        ordered = sorted(records, key=lambda one: one["ours"]["high"] - one["ours"]["low"])
        trusted = sorted({one["cell"][3] for one in records})
        for colour, per in zip(COLOURS, trusted, strict=False):
            some = [at for at, one in enumerate(ordered) if one["cell"][3] == per]
            mean, low, high, true = (
                100 * np.array([ordered[at]["true"] if name == "true" else ordered[at]["ours"][name] for at in some])
                for name in ("mean", "low", "high", "true")
            )
            around = np.stack([(mean - low).clip(0), (high - mean).clip(0)])
            label = f"{per} trusted a class"
            runs.errorbar(some, mean - true, around, fmt=".", color=colour, label=label, linewidth=1)
        runs.axhline(0, color="black", linewidth=1)
        runs.set(xlabel="runs", ylabel="stated - true rate (points)")
        runs.legend(fontsize=9, loc="lower left")
        methods = [method for method in _DRAWN if all(method in one for one in records)]
        for number, method in enumerate(methods):
            scores = [_scores(method, [one for one in records if one["cell"][3] == per]).mean() for per in trusted]
            places = np.arange(len(trusted)) + 0.2 * (number - (len(methods) - 1) / 2)
            bars.bar(places, scores, 0.2, label=method, color=COLOURS[number + 3])
        bars.set_xticks(range(len(trusted)), [str(per) for per in trusted])
        bars.set(xlabel="trusted labels a class", ylabel="interval score (points)")
        bars.legend(fontsize=8, ncols=2, loc="upper right", handlelength=1, columnspacing=1)
        bars.set_ylim(top=1.3 * bars.get_ylim()[1])
    return drawn


def summary(records: list[dict[str, Any]], groups: Sequence[Sequence[str]]) -> str:
    """Return a table of all methods, and of ours by the number of trusted labels, the noise and the data set.

    Args:
        records: what was measured, a cell each.
        groups: names of the data sets and of the noises, in the order of the rows.
    """
    rows = [(method, method, [one for one in records if method in one]) for method in METHODS]
    for per in sorted({one["cell"][3] for one in records}):
        rows.append((f"ours, {per} trusted a class", "ours", [one for one in records if one["cell"][3] == per]))
    for place in (1, 0):
        for name in groups[place]:
            rows.append((f"ours, {name}", "ours", [one for one in records if one["cell"][place] == name]))
    return markdown_table(_HEAD, [_row(*row) for row in rows if row[2]])


def _scores(method: str, records: list[dict[str, Any]]) -> np.ndarray:
    """Return the interval score of each run, in points (Gneiting and Raftery, JASA 2007)."""
    true = np.array([one["true"] for one in records])
    low, high = (np.array([one[method][name] for one in records]) for name in ("low", "high"))
    return np.asarray(100 * (high - low + 40 * (np.maximum(low - true, 0) + np.maximum(true - high, 0))))


def _row(title: str, method: str, records: list[dict[str, Any]]) -> list[str]:
    found = defaultdict(list)
    for one in records:
        for name, value in one[method].items():
            found[name].append(value)
    mean = {name: np.mean(values) for name, values in found.items()}
    parts = [f"{mean['ece']:.3f}, {np.max(found['ece']):.3f}" if "ece" in mean else ""]
    parts += [f"{mean[name]:.4f}" if name in mean else "" for name in ("brier", "auroc", "ap")]
    parts.append(f"{mean['missed']:.1%}" if "missed" in mean else "")
    matrix = ""
    if "entries_covered" in mean:
        matrix = f"{mean['entries_covered']:.1%}, {100 * mean['entries_width']:.1f}, {100 * mean['entries_error']:.2f}"
    seconds = f"{mean['seconds']:.1f}" if "seconds" in mean else ""
    rate = _of_rate(method, records) if "low" in found else [""] * 4
    return [title, str(len(records)), *rate, *parts, matrix, seconds]


def _of_rate(method: str, records: list[dict[str, Any]]) -> list[str]:
    true = np.array([one["true"] for one in records])
    mean, low, high = (np.array([one[method][name] for one in records]) for name in ("mean", "low", "high"))
    error = mean - true
    covered = ((low <= true + 1e-12) & (true <= high + 1e-12)).mean()
    bias = f"{100 * error.mean():+.2f} ± {100 * error.std(ddof=len(error) > 1) / np.sqrt(len(error)):.2f}"
    width, score = 100 * (high - low).mean(), _scores(method, records).mean()
    return [f"{covered:.1%}", f"{width:.1f}", f"{score:.1f}", bias]

"""Test accuracy over the rate of flip noise (paper, figure 5)."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, by_method, grid, main
from study.benches import clean_labels, noise
from study.figures import lines
from study.methods import METHODS

RATES = {f"flip {rate}%": rate for rate in (10, 20, 30, 40, 50, 60, 70)}


def cells(bench: Bench) -> list[Cell]:
    """Return every method at every rate."""
    settings = {name: bench.setting(*noise("Flip", rate / 100), *clean_labels(100)) for name, rate in RATES.items()}
    return grid(settings, METHODS)


def report(records: Records) -> Page:
    """Report the accuracy over the rate."""
    figure = Figure(figsize=(8, 4.2))
    axis = figure.subplots()
    lines(axis, records, RATES)
    axis.set(xlabel="labels flipped (%)", ylabel="test accuracy (%), last epoch")
    axis.legend()
    title = "Test accuracy (%) over the share of flipped labels"
    papers = "Figure 5, CIFAR-10 with 1,000 clean labels: VRI reaches about 86 at a rate of 70%."
    return Page(title, [by_method(records)], figure, papers)


STUDY = Study("noise_rate", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))

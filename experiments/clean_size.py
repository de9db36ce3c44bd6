"""Test accuracy over the number of clean labels (paper, figure 8b)."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, by_method, grid, main
from study.benches import clean_labels, noise
from study.figures import lines
from study.methods import METHODS

SIZES = {f"{size} a class": size for size in (100, 50, 20, 10, 5, 2, 1)}
COMPARED = {name: how for name, how in METHODS.items() if name != "cross entropy"}  # does not use the clean set


def cells(bench: Bench) -> list[Cell]:
    """Return every method with every size of the clean set."""
    shared = bench.setting(*noise("Flip", 0.4))
    return grid({name: (*shared, *clean_labels(size)) for name, size in SIZES.items()}, COMPARED)


def report(records: Records) -> Page:
    """Report the accuracy over the size of the clean set."""
    figure = Figure(figsize=(8, 4.2))
    axis = figure.subplots()
    lines(axis, records, SIZES)
    axis.set_xscale("log")
    axis.set_xticks(list(SIZES.values()), list(map(str, SIZES.values())))
    axis.minorticks_off()
    axis.set(xlabel="clean labels per class", ylabel="test accuracy (%), last epoch")
    axis.legend()
    papers = "Figure 8b, CIFAR-10, flip 40%, ResNet-18: VRI reaches 91.07 with 100 clean labels in total."
    about = (
        'The noise is flip 40%. "100 a class" means 100 clean labels per class. For each seed, larger clean sets '
        "contain the smaller ones."
    )
    return Page("Test accuracy (%) over the number of clean labels", [by_method(records), about], figure, papers)


STUDY = Study("clean_size", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))

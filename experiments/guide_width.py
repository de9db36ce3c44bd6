"""How wide the guide's network has to be (paper, table 9)."""

from __future__ import annotations

import sys

from study import Bench, Cell, Page, Records, Study, by_method, config, grid, main
from study.benches import clean_labels, noise
from study.figures import accuracy_figure

HIDDEN = ("[32]", "[128]", "[1024]", "[128,64]", "[512,256]", "[1024,512]")
NOISES = {"flip 40%": noise("Flip", 0.4), "uniform 60%": noise("UniformExclusive", 0.6)}
METHODS = {
    hidden.strip("[]").replace(",", "-"): config("vri_vector", "--method.guide.hidden", hidden) for hidden in HIDDEN
}


def cells(bench: Bench) -> list[Cell]:
    """Every width under both noises."""
    return grid({name: bench.setting(*about, *clean_labels(100)) for name, about in NOISES.items()}, METHODS)


def report(records: Records) -> Page:
    """Accuracy by width."""
    figure = accuracy_figure(records, "hidden layers of the guide")
    about = "VRI with tanh layers of these widths in the guide; the prior's network keeps its own."
    return Page("Test accuracy (%) by the width of the guide", [by_method(records), about], figure)


STUDY = Study("guide_width", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))

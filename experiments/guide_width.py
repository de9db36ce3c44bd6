"""Effect of the width of the guide's network (paper, table 9)."""

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
    """Return every width under both noises."""
    return grid({name: bench.setting(*about, *clean_labels(100)) for name, about in NOISES.items()}, METHODS)


def report(records: Records) -> Page:
    """Report the accuracy by width."""
    figure = accuracy_figure(records, "hidden layers of the guide")
    about = "The guide has tanh layers of these widths. The network of the prior is unchanged."
    return Page("Test accuracy (%) by the width of the guide", [by_method(records), about], figure)


STUDY = Study("guide_width", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))

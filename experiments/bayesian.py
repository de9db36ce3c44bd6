"""What the posterior's uncertainty is worth: VRI and its non-Bayesian twin (paper, table 11)."""

from __future__ import annotations

import sys

from study import Bench, Cell, Page, Records, Study, by_method, config, grid, main, markdown_table, paired_difference
from study.benches import clean_labels, noise
from study.figures import accuracy_figure

NOISES = {
    "flip 40%": noise("Flip", 0.4),
    "uniform 40%": noise("UniformExclusive", 0.4),
    "uniform 60%": noise("UniformExclusive", 0.6),
    "instance 40%": noise("InstanceDependent", 0.4),
}
BAYESIAN, TWIN = "VRI, vector", "Dirac twin"
METHODS = {BAYESIAN: config("vri_vector"), TWIN: config("vri_dirac")}
SIZES = (10, 100)
PAPERS = """\
Table 11, CIFAR-10, uniform 40%:

| theirs | VRI | non-Bayesian |
|---|---:|---:|
| accuracy (%) | 91.29 | 89.27 |"""


def cells(bench: Bench) -> list[Cell]:
    """Both under every noise, with few clean labels and with many."""
    settings = {
        f"{name}, {size} clean": bench.setting(*about, *clean_labels(size))
        for size in SIZES
        for name, about in NOISES.items()
    }
    return grid(settings, METHODS)


def report(records: Records) -> Page:
    """Accuracy of both, and their difference paired by seed."""
    rows = []
    for setting in records.settings:
        difference = paired_difference(*(records.accuracies(method, setting) for method in (BAYESIAN, TWIN)))
        if difference is not None:
            rows.append([setting, difference, difference.interval])
    figure = accuracy_figure(records)
    head = [f"{BAYESIAN} − {TWIN}, points", "mean ± standard error", "95% interval"]  # noqa: RUF001
    about = "Clean labels are counted a class. The twin's vector is a function of the example, without KL or prior."
    return Page(
        "What the posterior's uncertainty is worth",
        [by_method(records), markdown_table(head, rows), about],
        figure,
        PAPERS,
    )


STUDY = Study("bayesian", __doc__, cells, report, seeds=(0, 1, 2, 3, 4))

if __name__ == "__main__":
    sys.exit(main(STUDY))

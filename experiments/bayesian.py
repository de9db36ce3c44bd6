"""Effect of the posterior's uncertainty: VRI compared with its non-Bayesian (Dirac) twin (paper, table 11)."""

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

| reported | VRI | non-Bayesian |
|---|---:|---:|
| accuracy (%) | 91.29 | 89.27 |"""


def cells(bench: Bench) -> list[Cell]:
    """Return both methods under every noise and with both sizes of the clean set."""
    settings = {
        f"{name}, {size} clean": bench.setting(*about, *clean_labels(size))
        for size in SIZES
        for name, about in NOISES.items()
    }
    return grid(settings, METHODS)


def report(records: Records) -> Page:
    """Report the accuracy of both methods, and their difference paired by seed."""
    rows = []
    for setting in records.settings:
        difference = paired_difference(*(records.accuracies(method, setting) for method in (BAYESIAN, TWIN)))
        if difference is not None:
            rows.append([setting, difference, difference.interval])
    figure = accuracy_figure(records)
    head = [f"{BAYESIAN} − {TWIN}, points", "mean ± standard error", "95% interval"]  # noqa: RUF001
    about = (
        '"10 clean" means 10 clean labels per class. The Dirac twin computes the vector as a deterministic function of '
        "the example, without a prior or a KL."
    )
    return Page(
        "Bayesian and deterministic rectifying vectors",
        [by_method(records), markdown_table(head, rows), about],
        figure,
        PAPERS,
    )


STUDY = Study("bayesian", __doc__, cells, report, seeds=(0, 1, 2, 3, 4))

if __name__ == "__main__":
    sys.exit(main(STUDY))

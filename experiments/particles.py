"""Accuracy and training time over the number of particles, with and without the KL (paper, table 8)."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, config, main, markdown_table, spread
from study.benches import clean_labels, noise
from study.figures import last_accuracies, lines

PARTICLES = {f"k = {k}": k for k in (1, 3, 5)}
METHODS = {"without KL": "0", "with KL": "1e-3"}
PAPERS = """\
Table 8, CIFAR-10 on the authors' GPU. "Monte Carlo" is without the KL, "VRI" is with the KL.

| reported | k = 1 | k = 3 | k = 5 |
|---|---:|---:|---:|
| Monte Carlo, accuracy (%) | 88.23 | 89.45 | 89.87 |
| Monte Carlo, minutes per epoch | 2.17 | 4.32 | 7.04 |
| VRI, accuracy (%) | 90.20 | | |
| VRI, minutes per epoch | 2.20 | | |"""


def cells(bench: Bench) -> list[Cell]:
    """Return both methods with every number of particles."""
    shared = bench.setting(*noise("UniformExclusive", 0.4), *clean_labels(100), *config("vri_vector"))
    return [
        Cell(setting, method, (*shared, "--method.num_particles", str(k), "--method.outer_kl_weight", weight))
        for setting, k in PARTICLES.items()
        for method, weight in METHODS.items()
    ]


def report(records: Records) -> Page:
    """Report accuracy and time over the number of particles."""

    def seconds(method: str, setting: str) -> list[float]:
        return epoch_seconds(records, method, setting)

    rows = [
        [f"{method}, {what}", *(spread(values(method, setting), digits) for setting in records.settings)]
        for method in records.methods
        for what, values, digits in (("accuracy (%)", last_accuracies(records), 1), ("seconds per epoch", seconds, 2))
    ]
    figure = Figure(figsize=(9, 3.8))
    accuracy, time = figure.subplots(1, 2)
    lines(accuracy, records, PARTICLES)
    lines(time, records, PARTICLES, seconds)
    accuracy.set(xlabel="particles k", ylabel="test accuracy (%), last epoch", xticks=list(PARTICLES.values()))
    time.set(xlabel="particles k", ylabel="seconds per epoch", xticks=list(PARTICLES.values()), ylim=(0, None))
    accuracy.legend()
    about = (
        "The noise is uniform 40%. On a CPU, the seconds are process time, which is not affected by other processes. "
        "They include the evaluation after each epoch."
    )
    return Page("Particles: accuracy and time", [markdown_table(["", *records.settings], rows), about], figure, PAPERS)


def epoch_seconds(records: Records, method: str, setting: str) -> list[float]:
    """Return the seconds per epoch of a cell's runs; interrupted runs are left out."""
    found = []
    for record in records.of(method, setting).values():
        clock = "cpu_seconds" if record["made_by"]["device"].startswith("cpu") else "seconds"
        if record[clock] is not None:
            found.append(record[clock] / record["config"]["epochs"])
    return found


STUDY = Study("particles", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))

"""Effect of the KL weight: β in VRI's outer objective, λ in the paper's virtual step (paper, figure 8a)."""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from study import (
    Bench,
    Cell,
    Page,
    Records,
    Study,
    by_method,
    config,
    grid,
    main,
    markdown_table,
    recorded,
    significant,
)
from study.benches import clean_labels, noise
from study.figures import last_of_curve, lines

WEIGHTS = {f"{weight:g}": weight for weight in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)}
METHODS = {
    "VRI, outer β": (config("vri_vector"), "--method.outer_kl_weight"),
    "paper's equations, inner λ": (recorded("vri_paper"), "--method.inner_kl_weight"),
}
NOISES = {"flip 40%": noise("Flip", 0.4), "uniform 60%": noise("UniformExclusive", 0.6)}
CURVES = {"kl": "KL (nats)", "posterior_std/v": "posterior standard deviation"}


def cells(bench: Bench) -> list[Cell]:
    """Return both placements of the KL at every weight under both noises."""
    return [
        cell
        for weight, value in WEIGHTS.items()
        for cell in grid(
            {weight: bench.setting(*clean_labels(100))},
            {
                f"{method}, {name}": (*about, *how, option, f"{value:f}")
                for method, (how, option) in METHODS.items()
                for name, about in NOISES.items()
            },
        )
    ]


def report(records: Records) -> Page:
    """Report accuracy, KL and posterior standard deviation over the weight."""
    figure = Figure(figsize=(10, 5.4))
    axes = figure.subplots(1, 1 + len(CURVES))
    lines(axes[0], records, WEIGHTS)
    axes[0].set_ylabel("test accuracy (%), last epoch")
    for axis, (metric, label) in zip(axes[1:], CURVES.items(), strict=True):
        lines(axis, records, WEIGHTS, last_of_curve(records, metric))
        axis.set_ylabel(f"{label}, last epoch")
        axis.set_yscale("log")
    for axis in axes:
        axis.set_xscale("symlog", linthresh=1e-4, linscale=0.5)
        axis.set(xlabel="weight of the KL", xticks=list(WEIGHTS.values()), xlim=(-2e-5, 0.2))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    tables = [by_method(records)]
    for metric, label in CURVES.items():
        values = last_of_curve(records, metric)
        rows = [[m, *(significant(values(m, s)) for s in records.settings)] for m in records.methods]
        tables += [f"{label[0].upper()}{label[1:]}, last epoch:"]
        tables += [markdown_table(["method", *records.settings], rows)]
    return Page("Test accuracy (%) over the weight of the KL", tables, figure, "The paper chooses λ = 0.001.")


STUDY = Study("kl_weight", __doc__, cells, report, curves=("test_accuracy", *CURVES))

if __name__ == "__main__":
    sys.exit(main(STUDY))

"""Keep some noisy labels out of training: what it does to the estimated noise rate, and what it costs.

The runs differ in ``--split.noisy_holdout``, the share of the noisy labels that no stage trains on. Without it, how
many labels the classifier has memorised is only bounded; with it, the noise rate is estimated from these labels. The
table reports, for each run, the mean and the 95% interval of the share of wrong labels, the true share, the width of
the interval, and the test accuracy. The split, the noise and the seed are the same for all shares.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from study import CIFAR10_16, FASHION_MNIST_14, SCALES, Bench, Cell, Page, Records, Study, config, grid, main, spread
from study.benches import clean_labels, noise
from study.tables import markdown_table

from vri_pyro.label_issues import evidence_of, rank
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

SHARES = (0.0, 0.05, 0.1)
METHODS = {"VRI": config("vri"), "cross entropy": config("cross_entropy")}
NOISES = {
    "none": ("--noise", "vri_pyro.data.NoNoise"),
    "uniform 40%": noise("UniformExclusive", 0.4),
    "pair 45%": noise("PairFlip", 0.45),
    "instance 40%": noise("InstanceDependent", 0.4),
}
ROUNDED = 0.05  # points; an interval from 0.0% contains a rate of 0
_EPOCHS = ("--epochs", "20", "--evaluate_every", "20")


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise, with every share of labels that is kept out of training."""
    settings = {
        named(bench.title, name, share): bench.setting(*how, *clean_labels(10), "--split.noisy_holdout", str(share))
        for name, how in NOISES.items()
        for share in SHARES
    }
    return grid(settings, METHODS)


def named(title: str, noise_name: str, share: float) -> str:
    """Return the name of a setting."""
    return f"{title}, {noise_name}, {100 * share:g}% kept out"


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure the noise rate with its interval, the true rate, and how often the classifier agrees with the labels."""
    run = Run(folder.path)
    split = run.split
    assert split.true_labels is not None
    evidence = evidence_of(run, split.noisy_indices, draws=0)
    issues = rank(evidence, seed=split.seed)
    low, high = issues.transition.noise_rate_interval()
    agrees = evidence.logits.argmax(1).numpy() == split.given_labels
    wrong, kept_out = split.given_labels != split.true_labels, np.isin(split.noisy_indices, split.noisy_holdout)
    parts = {"trained on": ~kept_out, "kept out": kept_out}
    return {
        "rate": [low, issues.joint.noise_rate, high],
        "true": split.realised_rate,
        "problem": issues.problem,
        "agreement": {
            f"{name}, {kind}": float(agrees[part & some].mean())
            for name, part in parts.items()
            for kind, some in (("right", ~wrong), ("wrong", wrong))
            if (part & some).any()
        },
    }


def report(records: Records) -> Page:
    """Return a table of all runs, and the mean cost and benefit of each share."""
    rows = []
    for setting in records.settings:
        for method in records.methods:
            for seed, record in records.of(method, setting).items():
                found = record["measured"]
                low, mean, high = (100 * value for value in found["rate"])
                true = 100 * found["true"]
                outside = not low - ROUNDED <= true <= high
                interval = f"{mean:.1f} [{low:.1f}, {high:.1f}]"
                rows.append(
                    [
                        f"{setting}, {method}, seed {seed}",
                        f"{true:.1f}",
                        f"**{interval}**" if outside else interval,
                        f"{high - low:.1f}",
                        f"{record['results']['last']:.1f}",
                        found["problem"] or "",
                    ]
                )
    head = [
        "run",
        "wrong labels (%)",
        "estimate and 95% interval (bold: misses)",
        "width",
        "test accuracy (%)",
        "warning",
    ]
    return Page("Noisy labels kept out of training", [summary(records), markdown_table(head, rows)], drawn(records))


def share_of(setting: str) -> float:
    """Return the share that is kept out, in percent, of the name of a setting."""
    return float(setting.rpartition(", ")[2].split("%")[0])


def summary(records: Records) -> str:
    """Format coverage, width, error and accuracy with a share kept out, after those without, over the same runs."""
    rows = []
    for method in records.methods:
        of_share: dict[float, dict[tuple[str, int], Any]] = {}
        for setting in records.settings:
            for seed, record in records.of(method, setting).items():
                of_share.setdefault(share_of(setting), {})[setting.rpartition(", ")[0], seed] = record
        without = of_share.pop(0.0, {})
        for share, found in of_share.items():
            both = sorted(without.keys() & found.keys())
            if both:
                pairs = zip(*(summarised([part[run] for run in both]) for part in (without, found)), strict=True)
                cells = [" → ".join(pair) for pair in pairs]
                rows.append([f"{method}, 0% → {share:g}% kept out", str(len(both)), *cells])
    head = [
        "mean over data and noises",
        "runs",
        "intervals that contain the rate",
        "width",
        "error",
        "test accuracy (%)",
    ]
    return markdown_table(head, rows)


def summarised(records: Sequence[Any]) -> list[str]:
    """Return the number of intervals that contain the rate, their mean width, the mean error and the mean accuracy."""
    rates = 100 * np.array([record["measured"]["rate"] for record in records])
    true = 100 * np.array([record["measured"]["true"] for record in records])
    inside = (rates[:, 0] - ROUNDED <= true) & (true <= rates[:, 2])
    accuracy = [record["results"]["last"] for record in records]
    return [str(inside.sum()), *map(spread, (rates[:, 2] - rates[:, 0], np.abs(rates[:, 1] - true), accuracy))]


def drawn(records: Records) -> Figure:
    """Draw the intervals minus the true rate, one panel per method."""
    figure = Figure(figsize=(4.5 * len(records.methods), 0.28 * len(records.settings) + 1.2))
    axes = figure.subplots(1, len(records.methods), sharey=True, squeeze=False)[0]
    for axis, method in zip(axes, records.methods, strict=True):
        for row, setting in enumerate(records.settings):
            for record in records.of(method, setting).values():
                low, mean, high = (100 * (value - record["measured"]["true"]) for value in record["measured"]["rate"])
                axis.plot([low, high], [row, row], color="C0")
                axis.plot([mean], [row], "o", color="C0")
        axis.axvline(0, color="0.5", linewidth=0.8)
        axis.set(title=method, xlabel="estimate minus true share (points)")
    axes[0].set_yticks(range(len(records.settings)), records.settings)
    axes[0].invert_yaxis()  # the axes share it
    return figure


def longer(bench: Bench) -> Bench:
    """Return a bench with as many epochs as the single runs that the bound of followed labels was measured on."""
    return replace(bench, options=(*bench.options, *_EPOCHS))


BENCHES = SCALES | {"small": (longer(FASHION_MNIST_14), longer(CIFAR10_16))}
STUDY = Study("heldout_labels", __doc__, cells, report, benches=BENCHES, seeds=(0,), measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))

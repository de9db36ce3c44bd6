"""Placement of the KL: in the virtual step's loss (released script or paper), or in the outer objective.

The study runs three placements of the KL at five weights each. It reports the accuracy, the posterior, and the norm of
the hypergradient of the prior and of the guide:

* released (the authors' script): features detached, weight λ in the loss of the virtual step;
* paper (eq. 6): features attached, weight λ in the loss of the virtual step; the KL reaches prior and guide through the
  features;
* variational: features detached, weight β in the outer objective.

All other settings are equal: small networks, a prior with bounded variance, and the clean batch in the real step.
"paper, free prior" is the second placement with an unbounded prior variance, as in the paper.

In the released placement, the KL should reach no trained parameter, so that the run is bitwise identical for every
λ > 0. The study checks this with a digest of classifier, prior and guide after the last step.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from study import (
    Bench,
    Cell,
    Options,
    Page,
    Records,
    Study,
    by_method,
    config,
    main,
    markdown_table,
    recorded,
    significant,
)
from study.benches import clean_labels, noise

from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.run_folder import RunFolder

WEIGHTS = {f"weight {weight:g}": weight for weight in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)}
INNER, OUTER = "--method.inner_kl_weight", "--method.outer_kl_weight"
ATTACHED: Options = ("--method.detach_features", "false")
# The paper's configuration with the library's settings for everything but the unbounded prior variance.
FREE_PRIOR = recorded("vri_paper", "--method.clean_weight", "1", "--method.outer_optimizer.lr", "1e-3")
PLACEMENTS: dict[str, tuple[str, str, Options]] = {
    "released": (INNER, OUTER, config("vri_vector")),
    "paper": (INNER, OUTER, config("vri_vector", *ATTACHED)),
    "paper, free prior": (INNER, OUTER, FREE_PRIOR),
    "variational": (OUTER, INNER, config("vri_vector")),
}
MEASURES = {
    "posterior_std/v": "posterior standard deviation",
    "kl": "KL to the prior (nats)",
    "hypergradient_norm/model": "hypergradient norm, prior",
    "hypergradient_norm/guide": "hypergradient norm, guide",
}


def cells(bench: Bench) -> list[Cell]:
    """Return every placement at every weight."""
    shared = bench.setting(*noise("Flip", 0.4), *clean_labels(100))
    return [
        Cell(setting, placement, (*how, *shared, here, str(weight), elsewhere, "0"))
        for setting, weight in WEIGHTS.items()
        for placement, (here, elsewhere, how) in PLACEMENTS.items()
    ]


def digest(folder: RunFolder) -> dict[str, Any]:
    """Compute a digest of the parameters and buffers of classifier, model and guide at the end of a run."""
    (state,) = load_checkpoint(folder.last)["stages"]
    found = hashlib.sha256()
    for part in ("classifier", "model", "guide"):
        for name, tensor in state[part].items():
            found.update(f"{part}.{name}".encode())
            found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return {"digest": found.hexdigest()[:16]}


def report(records: Records) -> Page:
    """Report accuracy, posterior and hypergradients over the weight, and whether the weight changes the run."""
    parts = [__doc__.split("\n\n", 1)[1].strip(), "Test accuracy (%), last epoch:", by_method(records)]
    for metric, label in MEASURES.items():
        rows = (
            [placement, *(significant(_last(records, placement, weight, metric)) for weight in records.settings)]
            for placement in records.methods
        )
        parts += [
            f"{label[0].upper()}{label[1:]}, mean over the last epoch:",
            markdown_table(["", *records.settings], rows),
        ]
    parts += ["\n".join(f"* {line}" for line in [*_structural_zeros(records), *_same_bits(records)])]
    return Page("Placement of the KL", parts, _figure(records))


def _last(records: Records, placement: str, weight: str, metric: str) -> list[float]:
    return [float(curve[-1]) for curve in records.curves(placement, weight, metric)]


def _structural_zeros(records: Records) -> list[str]:
    """Return one line per placement: parameter groups with a structurally zero hypergradient, and their weights."""
    lines = []
    for placement in records.methods:
        zeros: dict[str, list[str]] = {}
        for weight in records.settings:
            for record in records.of(placement, weight).values():
                zeros.setdefault(", ".join(record["structural_zeros"]) or "none", []).append(weight)
        told = (f"{group} ({', '.join(dict.fromkeys(weights))})" for group, weights in zeros.items())
        lines.append(f"{placement}: parameters with a structurally zero hypergradient: {'; '.join(told)}.")
    return lines


def _same_bits(records: Records) -> list[str]:
    """Return one line per placement: the number of distinct final parameters over the weights, seed by seed."""
    lines = []
    for placement in records.methods:
        ends = [
            {
                of[seed]["measured"]["digest"]
                for weight in records.settings
                if seed in (of := records.of(placement, weight))
            }
            for seed in records.seeds
        ]
        counts = ", ".join(str(len(end)) for end in ends)
        lines.append(
            f"{placement}: distinct sets of final parameters from {len(records.settings)} weights, by seed: {counts}."
        )
    return lines


def _figure(records: Records) -> Figure:
    figure = Figure(figsize=(11, 3.4))
    panels = {"test_accuracy": "test accuracy (%)", **MEASURES}
    del panels["hypergradient_norm/guide"]
    for axis, (metric, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for placement in records.methods:
            means = [np.mean(_last(records, placement, weight, metric)) for weight in records.settings]
            axis.plot(range(len(means)), means, label=placement)
        axis.set_xticks(range(len(records.settings)), [_power_of_ten(WEIGHTS[name]) for name in records.settings])
        axis.set(xlabel="weight of the KL", ylabel=label)
        if metric == "kl":
            axis.set_yscale("log")
        if metric == "hypergradient_norm/model":
            axis.set_yscale("symlog", linthresh=1e-5)
            axis.set_ylim(bottom=0)
        if metric == "test_accuracy":
            axis.legend(fontsize=8)
    return figure


def _power_of_ten(weight: float) -> str:
    return f"$10^{{{np.log10(weight):.0f}}}$" if weight else "0"


STUDY = Study("kl_placement", __doc__, cells, report, curves=("test_accuracy", *MEASURES), measure=digest)

if __name__ == "__main__":
    sys.exit(main(STUDY))

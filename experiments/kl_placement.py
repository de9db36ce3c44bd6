"""Where the KL acts: in the virtual step's loss as released, as printed, or as a variational term of the outer step.

Three placements of the KL, each at five weights. Besides accuracy it shows what each placement does to the posterior
and the length of the hypergradient that arrives at the prior and at the guide:

* released (the authors' script): features detached, λ in the virtual step's loss;
* paper (eq. 6): features attached, λ in the virtual step's loss, reaching prior and guide through the features;
* variational: features detached, β in the outer objective.

All else is equal: small networks, a prior whose variance is bounded, the clean batch in the real step. "paper, free
prior" is the second placement with the prior's variance left free, as printed.

The released placement gives the same run bit for bit at every λ > 0: its KL reaches no trained parameter. The page
says whether it did, from a digest of classifier, prior and guide after the last step.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from study import Bench, Cell, Options, Page, Records, Study, by_method, config, main, markdown_table, significant
from study.benches import clean_labels, noise

from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.run_folder import RunFolder

WEIGHTS = {f"weight {weight:g}": weight for weight in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)}
INNER, OUTER = "--method.inner_kl_weight", "--method.outer_kl_weight"
ATTACHED: Options = ("--method.detach_features", "false")
# The paper's configuration with all of the library's but the prior's free variance.
FREE_PRIOR = config("vri_paper", "--method.clean_weight", "1", "--method.outer_optimizer.lr", "1e-3")
PLACEMENTS: dict[str, tuple[str, str, Options]] = {
    "released": (INNER, OUTER, config("vri_vector")),
    "paper": (INNER, OUTER, config("vri_vector", *ATTACHED)),
    "paper, free prior": (INNER, OUTER, FREE_PRIOR),
    "variational": (OUTER, INNER, config("vri_vector")),
}
MEASURES = {
    "posterior_std/v": "posterior's standard deviation",
    "kl": "KL to the prior (nats)",
    "hypergradient_norm/model": "hypergradient of the prior",
    "hypergradient_norm/guide": "hypergradient of the guide",
}


def cells(bench: Bench) -> list[Cell]:
    """Every placement at every weight."""
    shared = bench.setting(*noise("Flip", 0.4), *clean_labels(100))
    return [
        Cell(setting, placement, (*how, *shared, here, str(weight), elsewhere, "0"))
        for setting, weight in WEIGHTS.items()
        for placement, (here, elsewhere, how) in PLACEMENTS.items()
    ]


def digest(folder: RunFolder) -> dict[str, Any]:
    """A digest of every bit of classifier, model and guide at the end of a run."""
    (state,) = load_checkpoint(folder.last)["stages"]
    found = hashlib.sha256()
    for part in ("classifier", "model", "guide"):
        for name, tensor in state[part].items():
            found.update(f"{part}.{name}".encode())
            found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return {"digest": found.hexdigest()[:16]}


def report(records: Records) -> Page:
    """Accuracy and what the posterior became, over the weight; and whether the weight changed anything."""
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
    return Page("Where the KL acts, and what it does there", parts, _figure(records))


def _last(records: Records, placement: str, weight: str, metric: str) -> list[float]:
    return [float(curve[-1]) for curve in records.curves(placement, weight, metric)]


def _structural_zeros(records: Records) -> list[str]:
    """A line a placement: which groups no hypergradient can reach, and at which weights."""
    lines = []
    for placement in records.methods:
        zeros: dict[str, list[str]] = {}
        for weight in records.settings:
            for record in records.of(placement, weight).values():
                zeros.setdefault(", ".join(record["structural_zeros"]) or "nothing", []).append(weight)
        told = (f"{group} ({', '.join(dict.fromkeys(weights))})" for group, weights in zeros.items())
        lines.append(f"{placement}: structurally without hypergradient: {'; '.join(told)}.")
    return lines


def _same_bits(records: Records) -> list[str]:
    """A line a placement: how many different ends the weights lead to, seed by seed."""
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
            f"{placement}: {len(records.settings)} weights end in {counts} different sets of parameters, by seed."
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

"""Estimated transition matrices of trained methods compared with the realised noise (paper, figure 3b).

The study compares three estimates of the transition matrix, none of which uses the true labels. The first two group the
noisy examples by the class i that the classifier predicts. Row i of the estimate is:

* counted: the frequencies of the given labels j. This estimate only requires a classifier;
* rectified: the mean rectified prediction p(j | x, v), with v drawn from the guide, which depends on the given label.

The third estimate, "method's own", is the matrix that the method learns, for example in GLC.

The error is the Frobenius norm ‖T̂ - T‖, where T is the realised transition matrix of the run's split. The row "no
noise" is the error of the identity matrix.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, config, grid, main, markdown_table, recorded, spread
from study.benches import clean_labels, noise

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.diagnostics import averaged_transition, learned_transition, rectified
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

SETTINGS = {"flip 40%": noise("Flip", 0.4), "uniform 60%": noise("UniformExclusive", 0.6)}
METHODS = {
    "cross entropy": config("cross_entropy"),
    "clean-only": config("clean_only"),
    "VRI": recorded("vri"),
    "VRI, vector": config("vri_vector"),
    "VRI, gated": config("vri_gated"),
    "GLC": config("glc"),
    "MW-Net": config("mw_net", "--method.clean_weight", "1"),
}
ESTIMATES = {"counted": "counted", "rectified": "rectified predictions", "own": "method's own"}


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise."""
    settings = {name: bench.setting(*how, *clean_labels(100)) for name, how in SETTINGS.items()}
    return grid(settings, METHODS)


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure the estimates of the run's method, the realised matrix, and the error of each estimate."""
    run = Run(folder.path)
    split, classes = run.split, run.split.num_classes
    true = torch.from_numpy(realised_transition(split.true_labels, split.given_labels, classes))
    matrices = {"true": true} | {name: matrix.double() for name, matrix in estimates(run).items()}
    errors = {
        name: float(torch.linalg.matrix_norm(matrix - true)) for name, matrix in matrices.items() if name != "true"
    }
    errors["identity"] = float(torch.linalg.matrix_norm(torch.eye(classes) - true))
    return {
        "errors": errors,
        "matrices": {name: matrix.round(decimals=4).tolist() for name, matrix in matrices.items()},
    }


def estimates(run: Run) -> dict[str, torch.Tensor]:
    """Return the estimates by name, [K, K] each."""
    torch.manual_seed(0)
    predicted, given, rectified_predictions = [], [], []
    for output, batch in run.outputs(run.split.noisy_indices):
        predicted.append(output.logits.argmax(-1))
        given.append(torch.nn.functional.one_hot(batch.y, run.split.num_classes).float())
        if run.has_pair:
            rectified_predictions.append(rectified(run.model, run.guide, output, batch.y).probabilities)
    decisions = torch.cat(predicted)
    found = {"counted": averaged_transition(decisions, torch.cat(given))}
    if rectified_predictions:
        found["rectified"] = averaged_transition(decisions, torch.cat(rectified_predictions))
    if (own := learned_transition(run.guide, run.model, run.algorithm)) is not None:
        found["own"] = own
    return found


def report(records: Records) -> Page:
    """Report the errors, and draw the matrices of the first seed."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for setting in records.settings:
        rows = []
        for method in records.methods:
            found = [record["measured"]["errors"] for record in records.of(method, setting).values()]
            rows.append([method, *(spread([one[e] for one in found if e in one], digits=2) for e in ESTIMATES)])
        nothing = [record["measured"]["errors"]["identity"] for record in records.of(method, setting).values()]
        rows.append(["no noise", spread(nothing, digits=2), *[""] * (len(ESTIMATES) - 1)])
        parts.append(markdown_table([f"error under {setting}", *ESTIMATES.values()], rows))
    return Page("Estimated transition matrices", parts, _figure(records))


def _figure(records: Records) -> Figure:
    """Draw the true matrix and one estimate per method for the first seed; one row per setting.

    The estimate is the method's own matrix if it has one, otherwise the rectified or else the counted estimate.
    """
    figure = Figure(figsize=(2.1 * (len(records.methods) + 1), 2.5 * len(records.settings)))
    axes = figure.subplots(len(records.settings), len(records.methods) + 1, squeeze=False)
    for row, setting in zip(axes, records.settings, strict=True):
        shown = {}
        for method in records.methods:
            measured = next(iter(records.of(method, setting).values()))["measured"]
            shown["true"] = measured["matrices"]["true"]
            shown[method] = next(measured["matrices"][e] for e in reversed(ESTIMATES) if e in measured["matrices"])
        for axis, (name, matrix) in zip(row, shown.items(), strict=True):
            axis.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
            axis.set_title(name, fontsize=9)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        row[0].set_ylabel(f"{setting}\npredicted or true class", fontsize=9)
    return figure


STUDY = Study("transition", __doc__, cells, report, measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))

"""The transition matrix that a trained method implies, against the one that the noise realised (paper, figure 3b).

Estimates that don't look at the truth, over the examples of the noisy part by the class i that the classifier
predicts:

* counted: how often they are labelled j. Anybody with a classifier has this one;
* rectified: the mean rectified prediction p(j | x, v), v drawn from the guide, which has seen the given label;
* its own: the matrix that the method keeps, as GLC does.

The error is the Frobenius norm ‖T̂ - T‖ against the realised matrix of the run's split; "no noise" is that of the
identity.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, config, grid, main, markdown_table, spread
from study.benches import clean_labels, noise

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.diagnostics import averaged_transition, learned_transition, rectified
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

SETTINGS = {"flip 40%": noise("Flip", 0.4), "uniform 60%": noise("UniformExclusive", 0.6)}
METHODS = {
    "cross entropy": config("cross_entropy"),
    "clean-only": config("clean_only"),
    "VRI": config("vri"),
    "VRI, vector": config("vri_vector"),
    "VRI, gated": config("vri_gated"),
    "GLC": config("glc"),
    "MW-Net": config("mw_net", "--method.clean_weight", "1"),
}
ESTIMATES = {"counted": "counted", "rectified": "rectified predictions", "own": "its own"}


def cells(bench: Bench) -> list[Cell]:
    """Every method under every noise."""
    settings = {name: bench.setting(*how, *clean_labels(100)) for name, how in SETTINGS.items()}
    return grid(settings, METHODS)


def measure(folder: RunFolder) -> dict[str, Any]:
    """Every estimate that the run's method has, the realised matrix, and each estimate's error."""
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
    """The estimates by name, [K, K] each."""
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
    """Errors, and the matrices of the first seed."""
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
    """The true matrix, and each method's own, or rectified, estimate in the first seed's run; a row a setting."""
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

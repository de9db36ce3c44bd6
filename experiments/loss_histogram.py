"""Effect of rectification on the losses of right and wrong labels (paper, figure 3a).

Two losses are measured on the noisy set after the last step. The original loss is the cross entropy of the classifier.
The rectified loss is the training loss of the classifier: the mean over draws from the guide, multiplied by the weight
of the example if the method has one. The scores are the two losses and the reduction of the loss by rectification.

AUROC measures how well a score separates wrong labels from right labels. It is the probability that a wrong label has
the higher score; chance is 50%.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score
from study import Bench, Cell, Page, Records, Study, config, grid, main, markdown_table, recorded, spread
from study.benches import clean_labels, noise

from vri_pyro.diagnostics import rectified
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

SETTINGS = {"flip 40%": noise("Flip", 0.4), "uniform 60%": noise("UniformExclusive", 0.6)}
METHODS = {
    "VRI": recorded("vri"),
    "VRI, vector": config("vri_vector"),
    "VRI, gated": config("vri_gated"),
    "MW-Net": config("mw_net", "--method.clean_weight", "1"),
}
EDGES = np.concatenate([[0.0], np.geomspace(1e-3, 10, 41), [np.inf]])  # edges of the bins in nats
LOSSES = {"original": "original loss", "rectified": "rectified loss"}
SCORES = {**LOSSES, "reduction": "reduction of the loss"}


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise."""
    settings = {name: bench.setting(*how, *clean_labels(100)) for name, how in SETTINGS.items()}
    return grid(settings, METHODS)


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure histograms of both losses for right and wrong labels, and the AUROC of each score."""
    run = Run(folder.path)
    torch.manual_seed(0)
    seen = [rectified(run.model, run.guide, output, batch.y) for output, batch in run.outputs(run.split.noisy_indices)]
    losses = {
        "original": torch.cat([one.original_loss for one in seen]).numpy(),
        "rectified": torch.cat([one.loss for one in seen]).numpy(),
    }
    return separation(losses, run.split.given_labels != run.split.true_labels)


def separation(losses: dict[str, np.ndarray], wrong: np.ndarray) -> dict[str, Any]:
    """Summarise the losses: AUROC in percent of each score, mean losses, and share of the labels in each bin.

    Args:
        losses: ``original`` and ``rectified``, [N] each.
        wrong: mask of the wrong labels, bool [N].
    """
    scores = losses | {"reduction": losses["original"] - losses["rectified"]}
    return {
        "auroc": {name: 100 * float(roc_auc_score(wrong, score)) for name, score in scores.items()},
        "mean": {
            name: {_kind(w): float(loss[wrong == w].mean()) for w in (False, True)} for name, loss in losses.items()
        },
        "shares": {
            name: {
                _kind(w): (np.histogram(loss[wrong == w], EDGES)[0] / (wrong == w).sum()).tolist()
                for w in (False, True)
            }
            for name, loss in losses.items()
        },
    }


def _kind(wrong: bool) -> str:
    return "wrong" if wrong else "right"


def report(records: Records) -> Page:
    """Report histograms, mean losses and AUROC."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for setting in records.settings:
        rows = []
        for method in records.methods:
            found = [record["measured"] for record in records.of(method, setting).values()]
            means = (
                " · ".join(f"{np.mean([one['mean'][loss][kind] for one in found]):.2f}" for kind in ("right", "wrong"))
                for loss in LOSSES
            )
            rows.append([method, *means, *(spread([one["auroc"][score] for one in found]) for score in SCORES)])
        head = [setting, *(f"mean {label}, right · wrong" for label in LOSSES.values())]
        head += [f"AUROC of the {label} (%)" for label in SCORES.values()]
        parts.append(markdown_table(head, rows))
    return Page("Losses of right and wrong labels before and after rectification", parts, _figure(records))


def _figure(records: Records) -> Figure:
    methods, settings = records.methods, records.settings
    figure = Figure(figsize=(3.6 * len(methods), 2.2 * len(settings) * len(LOSSES)))
    axes = figure.subplots(len(settings) * len(LOSSES), len(methods), sharex=True, squeeze=False)
    for row, (setting, loss) in enumerate((s, loss) for s in settings for loss in LOSSES):
        for column, method in enumerate(methods):
            _histogram(axes[row, column], records, method, setting, loss)
        axes[row, 0].set_ylabel(f"{setting}\nshare of the labels")
    for axis, method in zip(axes[0], methods, strict=True):
        axis.set_title(method, fontsize=11)
    axes[0, 0].legend(fontsize=9)
    return figure


def _histogram(axis: Axes, records: Records, method: str, setting: str, loss: str) -> None:
    found = [record["measured"] for record in records.of(method, setting).values()]
    for kind, colour in (("right", "C0"), ("wrong", "C1")):
        shares = np.mean([one["shares"][loss][kind] for one in found], axis=0)
        # The first and last drawn bins include all smaller and larger losses.
        axis.stairs(
            shares[1:-1] + _beyond(shares), EDGES[1:-1], fill=True, alpha=0.45, color=colour, label=f"{kind} labels"
        )
    axis.set(xscale="log")
    axis.set_xlabel(f"{LOSSES[loss]} (nats)", fontsize=9)


def _beyond(shares: np.ndarray) -> np.ndarray:
    ends = np.zeros(len(shares) - 2)
    ends[0], ends[-1] = shares[0], shares[-1]
    return ends


STUDY = Study("loss_histogram", __doc__, cells, report, measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))

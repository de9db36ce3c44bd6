"""Finding wrong labels: the library's scores compared with cleanlab's on the same runs.

All scores are computed at the end of a run from the classifier's probabilities p(k | x) for its training examples, from
model and guide, and from the trusted examples. The tables report three metrics. AUROC is the probability that a wrong
label has a higher score than a right label; chance is 50%. AP is the area under the precision-recall curve; chance is
the share of wrong labels, 40%. Precision at 100 is the share of wrong labels among the 100 highest scores.

The scores are:

* self-confidence: 1 − p(y | x);
* margin: the largest probability of another class minus p(y | x);
* rectification: the reduction of the loss by rectification;
* surprise: KL[q(v | x, y) ‖ p(v | x)];
* clean class: 1 − r(y) with r(c | x, y) ∝ p(c | x) T[c, y], where p is calibrated on the validation set and T is the
  method's own transition matrix if it has one, and an estimate otherwise;
* open set: distance to the trusted examples in the classifier's features;
* combined: the clean class score with three changes. p is the average of the example's own prediction and the mean over
  its nearest neighbours, T is always estimated, and an additional class represents open-set examples;
* cleanlab: the best score of ``get_label_quality_scores`` with its three methods, with and without adjusted
  probabilities. The best score is selected by AUROC in each run, which is not possible in practice. The score is
  computed on the same probabilities, and on cross-validated probabilities, as cleanlab recommends. The cross-validated
  classifiers are trained with cross entropy on the noisy labels, with and without the cross entropy of a clean batch.

An ablation measures the parts of the combined score by leaving one out at a time:

* the neighbours;
* the example's own prediction;
* the held-out labels, which are used to fit the temperature and to calibrate the distance to the trusted examples;
* all trusted labels, without which there is no open-set class.

Without held-out labels, memorisation cannot be detected. The last two variants therefore use only the neighbours. The
method "cross entropy, eight times as long" is included because it memorises the labels.

``find_label_issues`` returns a set and not a ranking. Its precision and recall are compared with those of the same
number of labels with the highest combined score.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, config, grid, main, markdown_table, recorded, spread
from study.benches import clean_labels, noise, open_set
from torch import Tensor

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.label_issues import Evidence, LabelIssues, detection, evidence_of, rank
from vri_pyro.methods.confident_learning import FoldDescent, fold_of
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

CLEAN = ("--method.clean_weight", "1")
CROSS_VALIDATED = "cross-validated cross entropy"
METHODS = {
    "VRI": recorded("vri"),
    "VRI, gated": config("vri_gated"),
    "GLC + clean batch": config("glc", *CLEAN),
    CROSS_VALIDATED: config("confident_learning"),
    f"{CROSS_VALIDATED} + clean batch": config("confident_learning", *CLEAN),
}
LONG = "cross entropy, eight times as long"
SCORES = {
    "self_confidence": "self-confidence",
    "margin": "margin",
    "rectification": "rectification",
    "surprise": "surprise",
    "clean_class": "clean class",
    "open_set": "open set",
    "combined": "combined",
    "cleanlab": "cleanlab, best",
}
WHOLE = "combined"
PARTS = ("the neighbours", "its own prediction", "the labels held out", "all trusted labels")
# Methods of get_label_quality_scores, and whether it allows adjusting the probabilities for class thresholds.
CLEANLAB = {"self_confidence": True, "normalized_margin": True, "confidence_weighted_entropy": False}


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise."""
    noises = {
        "flip 40%": noise("Flip", 0.4),
        "uniform 40%": noise("UniformExclusive", 0.4),
        "open 40%": open_set(bench, 0.4),
    }
    methods = METHODS | {LONG: config("cross_entropy", "--epochs", str(8 * bench.epochs))}
    return grid({name: bench.setting(*how, *clean_labels(100)) for name, how in noises.items()}, methods)


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure how well each score finds the wrong labels, and the estimates of the noise."""
    run = Run(folder.path)
    split = run.split
    assert split.true_labels is not None
    wrong = torch.from_numpy(split.given_labels != split.true_labels)
    folds = [one for one in run.algorithms.values() if isinstance(one, FoldDescent)]
    if folds:
        return by_cleanlab(cross_validated(folds, split.given_labels, split.seed), split.given_labels, wrong)
    evidence = evidence_of(run, split.noisy_indices)
    issues = rank(evidence, seed=split.seed)
    found = {name: judged(score, wrong) for name, score in issues.scores.items() if name in SCORES}
    theirs = by_cleanlab(evidence.logits.softmax(-1).double().numpy(), split.given_labels, wrong)
    count = theirs["filter"]["count"]
    chosen = wrong[issues.order()[:count]]
    own = {"precision": float(chosen.double().mean()), "recall": float(chosen.sum() / wrong.sum())} if count else {}
    without = {part: judged(score, wrong) for part, score in left_out(evidence, split.seed).items()}
    measured = {"scores": found | theirs["scores"], "without": without, "filter": theirs["filter"], "as many": own}
    return measured | estimated(issues, run)


def left_out(evidence: Evidence, seed: int) -> dict[str, Tensor]:
    """Compute the combined score without each of its parts."""
    assert evidence.trusted is not None
    neighbours, own, held_out, trusted = PARTS
    found = {
        neighbours: rank(evidence, own=1, seed=seed),
        own: rank(evidence, own=0, seed=seed),
        held_out: rank(replace(evidence, trusted=replace(evidence.trusted, held_out=0)), seed=seed),
        trusted: rank(replace(evidence, trusted=None), seed=seed),
    }
    return {part: issues.score for part, issues in found.items()}


def estimated(issues: LabelIssues, run: Run) -> dict[str, Any]:
    """Compare the estimated noise with the truth: rate, open-set share, transition matrix, suggested labels."""
    split, transition = run.split, issues.transition
    assert split.true_labels is not None
    true = torch.from_numpy(realised_transition(split.true_labels, split.given_labels, split.num_classes))
    low, high = transition.interval()
    inside = split.true_labels >= 0
    low_rate, high_rate = transition.noise_rate_interval()
    return {
        "noise": {
            "rate": [low_rate, float(transition.noise_rate.mean()), high_rate],
            "true rate": split.realised_rate,
            "no class": float(issues.posterior[:, -1].mean()),
            "true no class": split.open_set_rate,
            "matrix error": float(torch.linalg.matrix_norm(transition.transition.mean(0) - true)),
            "entries covered": float(((low <= true) & (true <= high))[true > 0.01].double().mean()),
        },
        "suggestions right": float((issues.suggested.numpy() == split.true_labels).mean()),
        "suggestions right, of the classes": float((issues.suggested.numpy() == split.true_labels)[inside].mean()),
    }


def cross_validated(folds: list[FoldDescent], labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the out-of-fold probabilities of the noisy examples, [N, K]."""
    place = fold_of(labels, len(folds), seed)
    first = folds[0].probabilities
    assert first is not None
    gathered = np.empty((len(labels), first.shape[1]))
    for fold in folds:
        assert fold.probabilities is not None
        gathered[place == fold.number] = fold.probabilities.double().numpy()
    return gathered / gathered.sum(1, keepdims=True)


def by_cleanlab(probabilities: np.ndarray, labels: np.ndarray, wrong: Tensor) -> dict[str, Any]:
    """Evaluate the best of cleanlab's scores, and its filter ``find_label_issues``."""
    tried = [
        judged(-torch.from_numpy(get_label_quality_scores(labels, probabilities, method=m, adjust_pred_probs=a)), wrong)
        for m, adjustable in CLEANLAB.items()
        for a in ([False, True] if adjustable else [False])
    ]
    issues = torch.from_numpy(find_label_issues(labels, probabilities, n_jobs=1))
    count, hits = int(issues.sum()), float((issues & wrong).sum())
    filtered = {"count": count, "precision": hits / max(1, count), "recall": hits / float(wrong.sum())}
    return {"scores": {"cleanlab": max(tried, key=lambda one: one["auroc"])}, "filter": filtered}


def judged(score: Tensor, wrong: Tensor) -> dict[str, float]:
    """Return AUROC, average precision and precision at 100 in percent."""
    found = detection(score, wrong, at=(100,))
    assert found is not None
    ours = {"auroc": found.auroc, "ap": found.average_precision, "at 100": found.precision_at.get(100, float("nan"))}
    return {name: 100 * value for name, value in ours.items()}


def report(records: Records) -> Page:
    """Report the metrics by setting, the ablation, cleanlab's filter, and the estimates of the noise."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for metric, title in (("auroc", "AUROC (%)"), ("ap", "AP (%)"), ("at 100", "Precision at 100 (%)")):
        for setting in records.settings:
            rows = [
                [method, *(spread(values(records, method, setting, score, metric), 2) for score in SCORES)]
                for method in records.methods
            ]
            parts.append(markdown_table([f"{title}, {setting}", *SCORES.values()], rows))
    parts += [without(records), filters(records), noises(records)]
    return Page("Which labels are wrong?", parts, drawn(records))


def values(records: Records, method: str, setting: str, score: str, metric: str) -> list[float]:
    """Return a score's metric by seed; empty if the method does not have the score."""
    found = (record["measured"]["scores"] for record in records.of(method, setting).values())
    return [scores[score][metric] for scores in found if score in scores]


def without(records: Records) -> str:
    """Format AUROC and AP of the combined score, complete and without each of its parts."""
    rows = []
    for setting in records.settings:
        for method in records.methods:
            found = [record["measured"] for record in records.of(method, setting).values()]
            found = [one for one in found if "without" in one]
            if not found:
                continue
            scores = [{"": one["scores"][WHOLE]} | one["without"] for one in found]
            shown = (
                " · ".join(spread([one[part][metric] for one in scores], 2) for metric in ("auroc", "ap"))
                for part in ("", *PARTS)
            )
            rows.append([f"{setting}, {method}", *shown])
    return markdown_table(["combined, AUROC · AP (%)", "complete", *(f"without {part}" for part in PARTS)], rows)


def filters(records: Records) -> str:
    """Format cleanlab's filter beside the same number of labels with the highest combined score."""
    rows = []
    for setting in records.settings:
        for method in records.methods:
            found = [record["measured"] for record in records.of(method, setting).values()]
            shown = [
                spread([100 * one[part][name] for one in found if name in one.get(part, {})])
                for part in ("filter", "as many")
                for name in ("precision", "recall")
            ]
            rows.append([f"{setting}, {method}", spread([one["filter"]["count"] for one in found], 0), *shown])
    head = ["find_label_issues", "labels", "precision (%)", "recall (%)", "combined: precision", "combined: recall"]
    return markdown_table(head, rows)


def noises(records: Records) -> str:
    """Format the estimates of the noise, one row per setting and method."""
    rows = []
    for setting in records.settings:
        for method in records.methods:
            found = [record["measured"] for record in records.of(method, setting).values()]
            found = [one for one in found if "noise" in one]
            if not found:
                continue
            own = [one["noise"] for one in found]
            inside = [one["rate"][0] <= one["true rate"] <= one["rate"][2] for one in own]
            rows.append(
                [
                    f"{setting}, {method}",
                    "; ".join(f"{100 * low:.1f} to {100 * high:.1f}" for low, _, high in (one["rate"] for one in own)),
                    spread([100 * one["true rate"] for one in own]),
                    f"{sum(inside)} of {len(inside)}",
                    spread([100 * one["no class"] for one in own]),
                    spread([one["matrix error"] for one in own], 2),
                    spread([100 * one["entries covered"] for one in own], 0),
                    spread([100 * one["suggestions right"] for one in found]),
                ]
            )
    head = [
        "estimates",
        "wrong labels (%), 95% intervals by seed",
        "true share (%)",
        "intervals that cover",
        "open-set share (%)",
        "error of T",
        "covered entries of T above 0.01 (%)",
        "correct suggestions (%)",
    ]
    return markdown_table(head, rows)


def drawn(records: Records) -> Figure:
    """Draw the AUROC of every score and method, one panel per setting."""
    figure = Figure(figsize=(3.4 * len(records.settings), 4.2))
    axes = figure.subplots(1, len(records.settings), sharey=True, squeeze=False)[0]
    for axis, setting in zip(axes, records.settings, strict=True):
        for number, method in enumerate(records.methods):
            found = {score: values(records, method, setting, score, "auroc") for score in SCORES}
            at = [(row, np.mean(found[score])) for row, score in enumerate(SCORES) if found[score]]
            axis.plot(
                [value for _, value in at],
                [row + 0.12 * (number - (len(records.methods) - 1) / 2) for row, _ in at],
                linestyle="none",
                label=method,
            )
        axis.set(title=setting, xlabel="AUROC (%)")
        axis.set_yticks(range(len(SCORES)), SCORES.values())
    axes[0].invert_yaxis()  # the axes share it
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


STUDY = Study("label_issues", __doc__, cells, report, measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))

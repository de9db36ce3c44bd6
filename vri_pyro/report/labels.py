"""The report's section on label errors: noise rate, detection scores and the most suspicious examples."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues import BEST, PROBABLE, class_name
from vri_pyro.report.figures import bars, histogram
from vri_pyro.report.part import Drawing, Fact, Part, Suspect, Verdict, percent
from vri_pyro.report.pictures import data_uri
from vri_pyro.report.seen import SeenRun

_GOOD, _FAIR = 0.95, 0.85  # AUROC
_SHOWN, _OF_A_PAIR = 24, 3  # suspects on the page, and for each pair of given and suggested class
_AXIS = "probability that the label is wrong"
_SCORES = {
    "self_confidence": "1 − p(label)",  # noqa: RUF001
    "margin": "margin",
    "rectification": "loss reduction by rectification",
    "surprise": "KL[q ‖ p]",
    "clean_class": "clean class",
    "open_set": "distance to clean examples",
    BEST: "combined",
}


def labels(seen: SeenRun) -> Part:
    """Report the estimated noise rate, the label error scores, their AUROC and the most suspicious examples."""
    issues, split = seen.issues, seen.run.split
    rate, (low, high) = float(issues.transition.noise_rate.mean()), issues.transition.noise_rate_interval()
    headline = [Fact("estimated noise rate", f"{percent(rate)} ({percent(low)} to {percent(high)})")]
    words = f"An estimated {percent(rate, 0)} of the noisy labels are wrong {_interval_and_truth(seen, low, high)}."
    verdicts = [Verdict("note", words)]
    none = float(issues.posterior[:, -1].mean())
    if none > 0.01:
        words = f"An estimated {percent(none, 0)} of the noisy examples belong to none of the classes (open-set noise)."
        verdicts.append(Verdict("note", words))
    facts = [Fact("noisy examples", str(len(split.noisy_indices)))]
    if len(seen.judged) < len(split.noisy_indices):
        facts.append(Fact("scored noisy examples (random sample)", str(len(seen.judged))))
    facts += [
        Fact("labels more likely wrong than correct", str(int((issues.score > PROBABLE).sum()))),
        Fact("estimated open-set rate", percent(none)),
    ]
    if seen.true_labels is not None:
        facts.append(Fact("true noise rate", percent(seen.wrong.mean())))
        facts.append(Fact("true open-set rate", percent((seen.true_labels == NO_CLASS).mean())))
    if (best := seen.detections.get(BEST)) is not None:
        headline.append(Fact("label error detection, AUROC", f"{best.auroc:.3f}"))
        level = "good" if best.auroc >= _GOOD else "fair" if best.auroc >= _FAIR else "poor"
        verdicts.append(
            Verdict(
                level,  # type: ignore[arg-type]
                f"Label errors are detected with an AUROC of {best.auroc:.3f} (good from {_GOOD:g}, fair from "
                f"{_FAIR:g}): a wrong label has a higher score than a correct one in {percent(best.auroc)} of all "
                "pairs.",
            )
        )
        facts += [Fact(f"precision at {k}", f"{value:.3f}") for k, value in best.precision_at.items()]
        facts.append(Fact("average precision", f"{best.average_precision:.3f}"))
    if seen.run.split.caveat:
        verdicts.append(Verdict("poor", seen.run.split.caveat))
    if issues.warning:
        verdicts.append(Verdict("poor", issues.warning))
    about = (
        "The error probability of a noisy label combines the classifier's calibrated predictions for the example and "
        "its nearest neighbours, the estimated transition matrix and the distance to the clean examples. The interval "
        "of the noise rate accounts for memorised labels."
    )
    drawings = [_scores(seen)]
    if seen.detections:
        drawings.append(_detections(seen))
    shown = suspects(seen)
    return Part("Label errors", about, headline, verdicts, facts, drawings, shown, [_note(shown, seen)])


def _note(shown: list[Suspect], seen: SeenRun) -> str:
    """Say how the shown suspects were selected, and where to find all noisy labels."""
    if seen.run.folder.label_issues.exists():
        everywhere = "The file label_issues.csv in the run folder lists all noisy labels"
    else:
        everywhere = "To write all noisy labels to label_issues.csv, run vri-pyro issues on the run folder"
    if not shown:
        return f"No example is more likely to belong to another class than to its given class. {everywhere}."
    return (
        f"Shown below are the labels that are most likely wrong, at most {_OF_A_PAIR} for each pair of given and "
        f"suggested class. {everywhere}."
    )


def _interval_and_truth(seen: SeenRun, low: float, high: float) -> str:
    interval = f"95% interval {percent(low)} to {percent(high)}"
    return f"({interval}; true rate {percent(seen.wrong.mean())})" if seen.true_labels is not None else f"({interval})"


def _scores(seen: SeenRun) -> Drawing:
    score = seen.issues.score.numpy()
    if seen.true_labels is None:
        return histogram({"all": score}, _AXIS, "Distribution of the error probability of the noisy labels.")
    groups = {"correct labels": score[~seen.wrong], "wrong labels": score[seen.wrong]}
    return histogram(groups, _AXIS, "Distribution of the error probability of correct and of wrong labels.")


def _detections(seen: SeenRun) -> Drawing:
    found = {label: seen.detections[name].auroc for name, label in _SCORES.items() if name in seen.detections}
    caption = (
        "AUROC of each score: how often a wrong label has a higher score than a correct one. The dotted line is chance "
        "level."
    )
    return bars(found, "AUROC", caption, chance=0.5)


def suspects(seen: SeenRun) -> list[Suspect]:
    """Return the examples whose labels are most likely wrong, with a picture if the inputs are images.

    At most 24 examples are returned, and at most 3 for each pair of given and suggested class.
    """
    issues, pairs = seen.issues, Counter[tuple[int, int]]()
    chosen: list[int] = []
    for row in issues.order().tolist():
        pair = int(issues.given[row]), int(issues.suggested[row])
        if pair[0] != pair[1] and pairs[pair] < _OF_A_PAIR and len(chosen) < _SHOWN:
            pairs[pair] += 1
            chosen.append(row)
    return [_suspect(seen, row, image) for row, image in zip(chosen, _images(seen, np.array(chosen, int)), strict=True)]


def _images(seen: SeenRun, rows: np.ndarray) -> list[str | None]:
    examples, images = seen.run.examples, []
    for batch in examples.in_order(seen.indices[rows], max(1, len(rows))) if len(rows) else ():
        x = examples.original(batch.x)
        images += [data_uri(one) if one.dim() == 3 else None for one in x]
    return images


def _suspect(seen: SeenRun, row: int, image: str | None) -> Suspect:
    issues, index = seen.issues, int(seen.indices[row])
    names = [class_name(seen.classes, int(labels[row])) for labels in (issues.given, issues.suggested)]
    true = None if seen.true_labels is None else class_name(seen.classes, int(seen.true_labels[row]))
    name = seen.run.examples.listed(index) or f"example {index}"
    return Suspect(image, name, names[0], names[1], percent(float(issues.score[row]), 0), true)

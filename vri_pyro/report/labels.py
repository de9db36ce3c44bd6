"""The part of a page about wrong labels: how many, how well they are found, and which."""

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
_SHOWN, _OF_A_PAIR = 24, 3
_SCORES = {
    "self_confidence": "1 − p(label)",  # noqa: RUF001
    "margin": "margin",
    "rectification": "loss rectified away",
    "surprise": "KL[q ‖ p]",
    "clean_class": "clean class",
    "open_set": "distance to trusted",
    BEST: "combined",
}


def labels(seen: SeenRun) -> Part:
    """The estimated noise rate, the scores and how well they find wrong labels, and the most suspect examples."""
    issues, split = seen.issues, seen.run.split
    rate, (low, high) = float(issues.transition.noise_rate.mean()), issues.transition.noise_rate_interval()
    headline = [Fact("wrong labels, estimated", f"{percent(rate)} ({percent(low)} to {percent(high)})")]
    verdicts = [Verdict("note", f"About {percent(rate, 0)} of the noisy labels are wrong{_against(seen, low, high)}.")]
    none = float(issues.posterior[:, -1].mean())
    if none > 0.01:
        verdicts.append(Verdict("note", f"About {percent(none, 0)} of the noisy examples fit none of the classes."))
    facts = [Fact("noisy examples", str(len(split.noisy_indices)))]
    if len(seen.judged) < len(split.noisy_indices):
        facts.append(Fact("of these judged, drawn at random", str(len(seen.judged))))
    facts += [
        Fact("more probably wrong than right", str(int((issues.score > PROBABLE).sum()))),
        Fact("of no class, estimated", percent(none)),
    ]
    if seen.true_labels is not None:
        facts.append(Fact("wrong in truth", percent(seen.wrong.mean())))
        facts.append(Fact("of no class in truth", percent((seen.true_labels == NO_CLASS).mean())))
    if (best := seen.detections.get(BEST)) is not None:
        headline.append(Fact("wrong labels found, AUROC", f"{best.auroc:.3f}"))
        level = "good" if best.auroc >= _GOOD else "fair" if best.auroc >= _FAIR else "poor"
        verdicts.append(
            Verdict(
                level,  # type: ignore[arg-type]
                f"A wrong label scores higher than a right one in {percent(best.auroc)} of all pairs "
                f"(good from {percent(_GOOD, 0)}, fair from {percent(_FAIR, 0)}).",
            )
        )
        facts += [Fact(f"precision at {k}", f"{value:.3f}") for k, value in best.precision_at.items()]
        facts.append(Fact("average precision", f"{best.average_precision:.3f}"))
    if seen.run.split.caveat:
        verdicts.append(Verdict("poor", seen.run.split.caveat))
    if issues.warning:
        verdicts.append(Verdict("poor", issues.warning))
    about = (
        "Each noisy label's probability of being wrong, from the classifier's calibrated predictions of the example "
        "and its nearest neighbours, the estimated transition matrix, and the distance to trusted examples. The "
        "interval of the share of wrong labels allows for labels learned by heart."
    )
    drawings = [_scores(seen)]
    if seen.detections:
        drawings.append(_detections(seen))
    shown = suspects(seen)
    return Part("Wrong labels", about, headline, verdicts, facts, drawings, shown, [_of(shown, seen)])


def _of(shown: list[Suspect], seen: SeenRun) -> str:
    """What the suspects are that are shown, and where all of them are."""
    if seen.run.folder.label_issues.exists():
        everywhere = "All noisy labels are in the run folder's label_issues.csv"
    else:
        everywhere = "The command vri-pyro issues, given the run folder, writes all noisy labels to label_issues.csv"
    if not shown:
        return f"No example is likelier to be of another class than the one given. {everywhere}."
    return f"Below, the most suspect, at most {_OF_A_PAIR} of each pair of classes. {everywhere}."


def _against(seen: SeenRun, low: float, high: float) -> str:
    interval = f"95% interval {percent(low)} to {percent(high)}"
    return f" ({interval}; in truth {percent(seen.wrong.mean())})" if seen.true_labels is not None else f" ({interval})"


def _scores(seen: SeenRun) -> Drawing:
    score = seen.issues.score.numpy()
    if seen.true_labels is None:
        return histogram({"all": score}, "probability that the label is wrong", "Scores of all noisy labels.")
    groups = {"right labels": score[~seen.wrong], "wrong labels": score[seen.wrong]}
    return histogram(groups, "probability that the label is wrong", "Scores of right and wrong labels.")


def _detections(seen: SeenRun) -> Drawing:
    found = {label: seen.detections[name].auroc for name, label in _SCORES.items() if name in seen.detections}
    caption = "How often a wrong label scores higher than a right one, by score; the dotted line is chance."
    return bars(found, "AUROC", caption, chance=0.5)


def suspects(seen: SeenRun) -> list[Suspect]:
    """The most suspect examples, with their pictures where inputs are images; few of each pair of classes."""
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

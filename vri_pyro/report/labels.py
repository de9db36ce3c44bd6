"""The report's section on label errors: the most suspicious examples, noise rate and detection scores."""

from __future__ import annotations

from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues import BEST, Detection
from vri_pyro.report.figures import bars, histogram
from vri_pyro.report.noise_rate import doubt_of_suspects, noise_rate_tile, noise_rate_verdict, suspects_tile
from vri_pyro.report.part import Drawing, Fact, Level, Part, Suspect, Tile, Verdict, percent
from vri_pyro.report.seen import SeenRun
from vri_pyro.report.suspects import most_of_a_pair, suspects

_GOOD, _FAIR = 0.95, 0.85  # AUROC
_OPEN = 0.01  # estimated share of examples of no class that a sentence mentions
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
    """Report the most suspicious examples, the noise rate, and the label error scores with their AUROC."""
    headline, verdicts = [noise_rate_tile(seen), suspects_tile(seen)], [noise_rate_verdict(seen)]
    none = float(seen.issues.joint.none.mean())
    if none > _OPEN:
        words = f"An estimated {percent(none, 0)} of the noisy examples belong to none of the classes (open-set noise)."
        verdicts.append(Verdict("note", words))
    if (best := seen.detections.get(BEST)) is not None:
        level = _level(best)
        headline.append(Tile("detection of wrong labels", f"{best.auroc:.3f}", f"AUROC, {level}"))
        verdicts.append(_detection_verdict(best))
    if seen.run.split.caveat:
        verdicts.append(Verdict("poor", seen.run.split.caveat))
    drawings = [_distribution(seen)]
    if seen.detections:
        drawings.append(_detections(seen))
    about = (
        "The error probability of a noisy label combines predictions of its class, the estimated transition matrix "
        "and the distance to the clean examples. The predictions are those of regressions on vectors that never saw "
        "the label or, for images, the classifier's, calibrated, and its nearest neighbours'. The error probabilities "
        "add up to the noise rate."
    )
    shown = suspects(seen)
    return Part(
        "Label errors",
        about,
        headline,
        verdicts,
        facts=_facts(seen, none, best),
        drawings=drawings,
        suspects=shown,
        notes=[_note(shown, seen)],
    )


def _facts(seen: SeenRun, none: float, best: Detection | None) -> list[Fact]:
    noisy = len(seen.run.split.noisy_indices)
    facts = [Fact("noisy examples", str(noisy))]
    if len(seen.judged) < noisy:
        facts.append(Fact("scored noisy examples (random sample)", str(len(seen.judged))))
    if held_out := len(seen.run.split.noisy_holdout):
        facts.append(Fact("noisy examples kept out of training", str(held_out)))
    if (pairs := seen.run.split.pairs) is not None:
        facts.append(Fact("labels that were checked, with the label as given on record", str(len(pairs.indices))))
        facts.append(Fact("checked labels that were wrong", str(pairs.wrong)))
    facts.append(Fact("estimated open-set rate", percent(none)))
    if seen.true_labels is not None:
        facts.append(Fact("true noise rate", percent(seen.wrong.mean())))
        facts.append(Fact("true open-set rate", percent((seen.true_labels == NO_CLASS).mean())))
    if best is not None:
        facts += [Fact(f"precision at {k}", f"{value:.3f}") for k, value in best.precision_at.items()]
        facts.append(Fact("average precision", f"{best.average_precision:.3f}"))
    return facts


def _level(found: Detection) -> Level:
    return "good" if found.auroc >= _GOOD else "fair" if found.auroc >= _FAIR else "poor"


def _detection_verdict(found: Detection) -> Verdict:
    return Verdict(
        _level(found),
        f"Label errors are detected with an AUROC of {found.auroc:.3f} (good from {_GOOD:g}, fair from {_FAIR:g}): a "
        f"wrong label has a higher score than a correct one in {percent(found.auroc)} of all pairs.",
    )


def _note(shown: list[Suspect], seen: SeenRun) -> str:
    """Say how the shown suspects were selected, and where to find all noisy labels."""
    if seen.run.folder.label_issues.exists():
        everywhere = "The file label_issues.csv in the run folder lists all noisy labels"
    else:
        everywhere = "To write all noisy labels to label_issues.csv, run vri-pyro issues on the run folder"
    if not shown:
        return f"No example is more likely to belong to another class than to its given class. {everywhere}."
    why = doubt_of_suspects(seen.issues)
    return (
        "These labels are the most likely to be wrong: the given label, the suggested one, and the probability that "
        f"the given label is wrong. {f'They are unreliable, because {why}. ' if why else ''}At most "
        f"{most_of_a_pair(len(seen.classes))} are shown of each pair of given and suggested class. {everywhere}."
    )


def _distribution(seen: SeenRun) -> Drawing:
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

"""The report's section on the transition matrix of the labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.report.matrices import diagonals, fits, largest_entries, likeliest, matrix
from vri_pyro.report.part import Drawing, Fact, Part
from vri_pyro.report.seen import SeenRun

_ESTIMATED, _LEARNED, _TRUE = "estimated", "learned by the method", "true"
_CAPTIONS = {
    _ESTIMATED: "Estimated from predictions and labels.",
    _LEARNED: "Learned by the method.",
    _TRUE: "True matrix (realised noise).",
}


def transitions(seen: SeenRun) -> Part:
    """Report the estimated transition matrix, the one the method learned and the true one, as far as available."""
    estimated, true = seen.issues.transition.transition.mean(0).numpy(), seen.run.split.frequencies
    shown = {_ESTIMATED: estimated}
    if true is not None:
        shown[_TRUE] = true
    if seen.evidence.transition is not None:
        shown[_LEARNED] = seen.evidence.transition.double().numpy()
    errors = []
    if true is not None:
        for name in (_ESTIMATED, _LEARNED):
            if name in shown:
                error = np.sqrt(np.nansum((shown[name] - true) ** 2))
                errors.append(Fact(f"distance from the true matrix, {name}", f"{error:.2f}"))
    about = (
        "How often an example of a true class has each given label. The list shows the largest confusions of the "
        "estimated matrix with their 95% intervals. Distances are Frobenius norms."
    )
    facts = [*_confusions(seen, estimated, true), *errors]
    return Part("Transition of the labels", about, facts=facts, drawings=_drawings(seen, shown))


def _drawings(seen: SeenRun, shown: dict[str, np.ndarray]) -> list[Drawing]:
    if fits(seen.classes):
        return [matrix(one, seen.classes, "true class", "given label", _CAPTIONS[name]) for name, one in shown.items()]
    low, high = (end.numpy() for end in seen.issues.transition.interval())
    caption = (
        "The largest confusions in the estimated matrix, with their 95% intervals: share of a true class (left) that "
        "has another label (right)."
    )
    share = "share of the true class"
    caption_of_all = f"Estimated share of correct labels of each of the {len(seen.classes)} classes."
    return [
        largest_entries(shown, seen.classes, share, caption, (low, high)),
        diagonals(shown[_ESTIMATED], "share of correct labels", caption_of_all),
    ]


def _confusions(seen: SeenRun, estimated: np.ndarray, true: np.ndarray | None) -> list[Fact]:
    """Return the most frequent confusions, each with its 95% interval and, if known, its true share."""
    low, high = (end.numpy() for end in seen.issues.transition.interval())
    facts = []
    for cell in likeliest(estimated):
        row, column = (seen.classes[number] for number in cell)
        truth = "" if true is None or np.isnan(true[cell]) else f", true {true[cell]:.2f}"
        interval = f"({low[cell]:.2f} to {high[cell]:.2f})"
        facts.append(Fact(f"{row} labelled {column}", f"{estimated[cell]:.2f} {interval}{truth}"))
    return facts

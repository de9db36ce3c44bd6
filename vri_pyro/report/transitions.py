"""The report's section on the transition matrix of the labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.report.confusions import called, likeliest
from vri_pyro.report.figures import matrix
from vri_pyro.report.part import Fact, Part
from vri_pyro.report.seen import SeenRun


def transitions(seen: SeenRun) -> Part:
    """Report the estimated transition matrix, the one the method learned and the true one, as far as available."""
    split, found = seen.run.split, seen.issues.transition
    estimated = found.transition.mean(0).numpy()
    shown = {"Estimated from predictions and labels": estimated}
    if seen.evidence.transition is not None:
        shown["Learned by the method"] = seen.evidence.transition.double().numpy()
    true, errors = split.frequencies, []
    if true is not None:
        for name, one in shown.items():
            error = np.sqrt(np.nansum((one - true) ** 2))
            errors.append(Fact(f"Frobenius error, {name[0].lower()}{name[1:]}", f"{error:.2f}"))
        shown["True matrix (realised noise)"] = true
    facts = [*_confusions(seen, estimated, true), *errors]
    drawings = [matrix(one, seen.classes, "true class", "given label", f"{name}.") for name, one in shown.items()]
    about = (
        "Probability of each given label (column) given the true class (row). The list shows the largest confusions in "
        "the estimated matrix. Errors are Frobenius norms of the difference from the true matrix."
    )
    return Part("Transition matrices", about, facts=facts, drawings=drawings)


def _confusions(seen: SeenRun, estimated: np.ndarray, true: np.ndarray | None) -> list[Fact]:
    """Return the most frequent confusions, each with its 95% interval and, if known, its true share."""
    low, high = (end.numpy() for end in seen.issues.transition.interval())
    facts = []
    for cell in likeliest(estimated, seen.classes):
        row, column = (called(seen.classes, number) for number in cell)
        interval = f"95% interval {low[cell]:.2f} to {high[cell]:.2f}"
        truth = "" if true is None or np.isnan(true[cell]) else f"; true share {true[cell]:.2f}"
        facts.append(Fact(f"{row} labelled {column}", f"{estimated[cell]:.2f} ({interval}{truth})"))
    return facts

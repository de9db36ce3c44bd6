"""The part of a page about the transition matrix of the labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.report.confusions import called, likeliest
from vri_pyro.report.figures import matrix
from vri_pyro.report.part import Fact, Part
from vri_pyro.report.seen import SeenRun


def transitions(seen: SeenRun) -> Part:
    """The matrix as it is estimated, as the method has learned it, and as it is."""
    split, found = seen.run.split, seen.issues.transition
    estimated = found.transition.mean(0).numpy()
    shown = {"Estimated from classifier and labels": estimated}
    if seen.evidence.transition is not None:
        shown["Learned by the method"] = seen.evidence.transition.double().numpy()
    true, errors = split.frequencies, []
    if true is not None:
        for name, one in shown.items():
            error = np.sqrt(np.nansum((one - true) ** 2))
            errors.append(Fact(f"error, {name[0].lower()}{name[1:]}", f"{error:.2f}"))
        shown["True, as the noise came out"] = true
    facts = [*_confusions(seen, estimated, true), *errors]
    drawings = [matrix(one, seen.classes, "class", "given label", f"{name}.") for name, one in shown.items()]
    about = (
        "Which share of each class (rows) is labelled as which (columns). In words, the likeliest confusions as they "
        "are estimated. Errors are Frobenius norms."
    )
    return Part("Transition matrices", about, facts=facts, drawings=drawings)


def _confusions(seen: SeenRun, estimated: np.ndarray, true: np.ndarray | None) -> list[Fact]:
    """The likeliest confusions, each with its interval and, where it is known, the truth."""
    low, high = (end.numpy() for end in seen.issues.transition.interval())
    facts = []
    for place in likeliest(estimated, seen.classes):
        row, column = (called(seen.classes, number) for number in place)
        value = f"{estimated[place]:.2f}, 95% interval {low[place]:.2f} to {high[place]:.2f}"
        if true is not None and not np.isnan(true[place]):
            value += f", in truth {true[place]:.2f}"
        facts.append(Fact(f"{row} labelled {column}", value))
    return facts

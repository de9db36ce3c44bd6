"""The part of a page about the transition matrix of the labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.data.noise.transition import transition_frequencies
from vri_pyro.report.figures import matrix
from vri_pyro.report.part import Fact, Part
from vri_pyro.report.seen import SeenRun


def transitions(seen: SeenRun) -> Part:
    """The matrix as it is estimated, as the method has learned it, and as it is."""
    split, found = seen.run.split, seen.issues.transition
    estimated = found.transition.mean(0).numpy()
    low, high = (end.numpy() for end in found.interval())
    shown = {"Estimated from classifier and labels": estimated}
    if seen.evidence.transition is not None:
        shown["Learned by the method"] = seen.evidence.transition.double().numpy()
    facts = [Fact(f"{name}, 95% interval", interval) for name, interval in _largest(seen, estimated, low, high)]
    if split.true_labels is not None:
        true = transition_frequencies(split.true_labels, split.given_labels, split.num_classes)
        for name, one in shown.items():
            error = np.sqrt(np.nansum((one - true) ** 2))
            facts.append(Fact(f"error, {name[0].lower()}{name[1:]}", f"{error:.2f}"))
        shown["True, as the noise came out"] = true
    drawings = [matrix(one, seen.classes, "class", "given label", f"{name}.") for name, one in shown.items()]
    about = "Which share of each class (rows) is labelled as which (columns). Errors are Frobenius norms."
    return Part("Transition matrices", about, facts=facts, drawings=drawings)


def _largest(seen: SeenRun, estimated: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[tuple[str, str]]:
    """The three likeliest confusions, with their intervals."""
    off = estimated * (1 - np.eye(len(estimated)))
    places = np.argsort(off, axis=None)[::-1][:3]
    return [
        (f"{seen.classes[row]} labelled {seen.classes[column]}", f"{low[row, column]:.2f} to {high[row, column]:.2f}")
        for row, column in (divmod(int(place), len(estimated)) for place in places)
    ]

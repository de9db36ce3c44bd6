"""The report's section on the classifier's confusions of the classes."""

from __future__ import annotations

from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.report.matrices import diagonals, fits, largest_entries, likeliest, matrix
from vri_pyro.report.part import Drawing, Fact, Part, percent
from vri_pyro.report.seen import SeenRun


def confusions(seen: SeenRun) -> Part | None:
    """Report which classes the classifier confuses on the test set, or else on the validation set."""
    if seen.predicted is None:
        return None
    logits, labels = seen.predicted
    shares = transition_frequencies(labels.numpy(), logits.argmax(-1).numpy(), len(seen.classes))
    facts = []
    for cell in likeliest(shares):
        row, column = (seen.classes[number] for number in cell)
        count = int((labels == cell[0]).sum())
        facts.append(Fact(f"{row} predicted as {column}", f"{percent(shares[cell])} of {count}"))
    where = "test set" if seen.measured == "test" else "validation set"
    drawings: list[Drawing] = []
    if fits(seen.classes):
        caption = f"Share of each true class (row) of the {where} that is predicted as each class (column)."
        drawings.append(matrix(shares, seen.classes, "true class", "predicted class", caption))
    else:
        if facts:
            caption = f"The largest confusions on the {where}: share of a class that is predicted as another one."
            drawings.append(largest_entries({where: shares}, seen.classes, "share of the true class", caption))
        caption = f"Accuracy of each of the {len(seen.classes)} classes on the {where}."
        drawings.append(diagonals(shares, "accuracy of a class", caption))
    return Part("Confusions", "Which classes the classifier confuses.", facts=facts, drawings=drawings)

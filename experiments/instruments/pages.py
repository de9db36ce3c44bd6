"""Pages of the anatomy: a table of the figures at the beginning and at the end, and the plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from study.page import STYLE
from study.tables import markdown_table

from instruments.drawing import Anatomies, draw_comparison, draw_run, numbered
from instruments.panels import pick
from vri_pyro.utils.files import write_atomically

# Rows of the tables: name, path, number of digits.
ROWS = (
    ("test accuracy (%)", "parts.test.accuracy", 1),
    ("validation accuracy (%)", "parts.validation.accuracy", 1),
    ("wrong labels predicted as given (share)", "memorisation.as_given.wrong", 3),
    ("wrong labels predicted right (share)", "memorisation.as_true.wrong", 3),
    ("right labels predicted as given (share)", "memorisation.as_given.right", 3),
    ("cross entropy of right labels", "memorisation.loss.right", 2),
    ("cross entropy of wrong labels", "memorisation.loss.wrong", 2),
    ("clean loss", "parts.clean.loss", 3),
    ("validation loss", "parts.validation.loss", 3),
    ("T: total variation of a row", "transition.total_variation", 3),
    ("T: the same for the prior", "transition.prior.total_variation", 3),
    ("T: mean absolute error of an entry", "transition.absolute_error", 4),
    ("T: posterior standard deviation of an entry", "transition.std", 4),
    ("T: entries within two standard deviations (share)", "transition.within_two_std", 2),
    ("T: mean diagonal", "transition.diagonal", 3),
    ("belief, running mean: right labels", "belief.memory.right.mean", 3),
    ("belief, running mean: wrong labels", "belief.memory.wrong.mean", 3),
    ("belief, running mean: AUROC", "belief.memory.auroc", 3),
    ("belief, current: right labels", "belief.current.right.mean", 3),
    ("belief, current: wrong labels", "belief.current.wrong.mean", 3),
    ("belief, current: AUROC", "belief.current.auroc", 3),
    ("gate g: right labels", "gates.weight.gate.right", 2),
    ("gate g: wrong labels", "gates.weight.gate.wrong", 2),
    ("weight w: right labels", "gates.weight.before.right", 3),
    ("weight w: wrong labels", "gates.weight.before.wrong", 3),
    ("weight w, divided by its mean: right labels", "gates.weight.after.right", 3),
    ("weight w, divided by its mean: wrong labels", "gates.weight.after.wrong", 3),
    ("weight w: AUROC", "gates.weight.auroc", 3),
    ("weight u through T: right labels", "gates.transition_weight.before.right", 3),
    ("weight u through T: wrong labels", "gates.transition_weight.before.wrong", 3),
    ("weight u through T, divided by its mean: right labels", "gates.transition_weight.after.right", 3),
    ("weight u through T, divided by its mean: wrong labels", "gates.transition_weight.after.wrong", 3),
    ("weight u through T: AUROC", "gates.transition_weight.auroc", 3),
    ("rectifier at the label: right labels", "rectifier.label.right.mean", 3),
    ("rectifier at the label: wrong labels", "rectifier.label.wrong.mean", 3),
    ("rectifier elsewhere: right labels", "rectifier.elsewhere.right.mean", 3),
    ("rectifier elsewhere: wrong labels", "rectifier.elsewhere.wrong.mean", 3),
    ("rectifier at the label: spread over right labels", "rectifier.label.right.spread", 3),
    ("rectifier at the label: posterior std, right labels", "rectifier.label.right.uncertainty", 3),
    ("gradient of the label term: right labels", "gradients.norm.y.right", 3),
    ("gradient of the label term: wrong labels", "gradients.norm.y.wrong", 3),
    ("gradient of the term through T: right labels", "gradients.norm.y_by_transition.right", 3),
    ("gradient of the term through T: wrong labels", "gradients.norm.y_by_transition.wrong", 3),
    ("gradient of early learning: right labels", "gradients.norm.early_learning.right", 3),
    ("gradient of early learning: wrong labels", "gradients.norm.early_learning.wrong", 3),
    ("gradient of the clean batch", "gradients.clean", 3),
    ("pull on the given label: right labels", "gradients.pull.given.right", 3),
    ("pull on the given label: wrong labels", "gradients.pull.given.wrong", 3),
    ("pull on the true label: wrong labels", "gradients.pull.true.wrong", 3),
)
_HOW_TO_READ = """A label is right if it is the true one. The belief is the probability that a label is right, according
to the matrix T of the method and to its predictions: the current ones, or their running mean. Without a matrix, it is
the predicted probability of the label. AUROC tells how well a low value finds wrong labels; 0.5 is chance. The total
variation of a row of T is the share of labels that the row puts at the wrong place. Weights are divided by their mean
over all examples here, and over the batch in training. A gradient is the mean norm, over examples, of the gradient of a
term of the loss with respect to the logits; the pull is the step that all terms together want a logit to take. Bands
are quartiles, and two standard deviations of q(T). Epochs up to 0, shaded, are those of preparatory stages."""


def write_run(anatomy: Mapping[str, Any], name: str, command: str, folder: Path) -> str:
    """Write ``anatomy.json``, ``anatomy.png`` and ``anatomy.md`` of one run; return the text."""
    numbers, epochs = numbered(anatomy), anatomy["epochs"]
    chosen = {numbers[at]: epochs[at] for at in sorted({*_ends(numbers), _best(epochs)})}
    head = ["figure", *(f"epoch {number}" for number in chosen)]
    with mpl.rc_context(STYLE):
        figure = draw_run(anatomy, f"{name}: {_told(anatomy)}")
    return _write(f"Anatomy of {name}", anatomy, _table(head, chosen.values()), figure, command, folder, "anatomy")


def write_comparison(anatomies: Anatomies, command: str, folder: Path) -> str:
    """Write ``comparison.json``, ``comparison.png`` and ``comparison.md`` of several runs; return the text."""
    last = [one["epochs"][-1] for one in anatomies.values()]
    told = _told(next(iter(anatomies.values())))
    with mpl.rc_context(STYLE):
        figure = draw_comparison(anatomies, told)
    table = _table(["figure, last epoch", *anatomies], last)
    return _write("Anatomy of several methods", dict(anatomies), table, figure, command, folder, "comparison")


def _write(
    title: str, data: Mapping[str, Any], table: str, figure: Figure, command: str, folder: Path, name: str
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", (json.dumps(data, indent=1) + "\n").encode())
    with mpl.rc_context(STYLE):
        figure.savefig(folder / f"{name}.png")
    one = data if "truth" in data else next(iter(data.values()))
    parts = [f"# {title}", f"{_told(one)}.", f"![{title}]({name}.png)", table, _HOW_TO_READ, f"Made with `{command}`."]
    text = "\n\n".join(parts) + "\n"
    write_atomically(folder / f"{name}.md", text.encode())
    return text


def _told(anatomy: Mapping[str, Any]) -> str:
    truth = anatomy["truth"]
    diagonal = truth["transition"]["diagonal"]
    return (
        f"{truth['examples']:,} noisy labels, {truth['wrong']:.1%} of them wrong; mean diagonal of the true T: "
        f"{diagonal:.3f}"
    )


def _ends(numbers: list[int]) -> tuple[int, int]:
    """Return the places of the first epoch after the preparatory stages and of the last epoch."""
    return numbers.index(max(min(numbers), min(1, max(numbers)))), len(numbers) - 1


def _best(epochs: list[dict[str, Any]]) -> int:
    """Return the place of the epoch with the highest test accuracy; the last one if there is no test set."""
    found = [pick(one, "parts.test.accuracy") for one in epochs]
    known = [value for value in found if value is not None]
    return found.index(max(known)) if known else len(epochs) - 1


def _table(head: list[str], columns: Any) -> str:
    columns, rows = list(columns), []
    for name, path, digits in ROWS:
        found = [pick(one, path) for one in columns]
        if any(value is not None for value in found):
            rows.append([name, *("–" if value is None else f"{value:.{digits}f}" for value in found)])  # noqa: RUF001
    return markdown_table(head, rows)

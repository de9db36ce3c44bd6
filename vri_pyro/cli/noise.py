"""``vri-pyro noise``: inject label noise into a data set and write the labels to files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.configured_parser import configured_parser
from vri_pyro.data import LabelNoise, NoisyLabels, Source, inject
from vri_pyro.data.npz import names_in, write_npz
from vri_pyro.runs.parsing import DEFAULTS
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, first_line, write_atomically
from vri_pyro.utils.numbers import check_integer, counted

_COLUMNS = "index,given,true,wrong"
_NOISE = {"class_path": "vri_pyro.data.Flip", "init_args": {"rate": 0.4}}


@dataclass(frozen=True)
class Injection:
    """Options of ``vri-pyro noise``.

    Attributes:
        data: the data set; its training labels are treated as the true labels.
        noise: the label noise.
        seed: random seed.
        output: the .npz file; a .csv file of the same name is written next to it.
    """

    data: Source
    noise: LabelNoise
    seed: int = 0
    output: Path = Path("noisy_labels.npz")


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = configured_parser(
        "Inject label noise into the training labels of a data set. Write an .npz file with the given and "
        "the true labels, the indices of the examples and the transition matrix, and a .csv file with one line per "
        "example."
    )
    parser.add_class_arguments(Injection)
    parser.set_defaults({"data": DEFAULTS["data"], "noise": _NOISE})
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Inject the noise and write both files."""
    chosen = parser.instantiate(options)
    check_integer("seed", chosen.seed, 0)
    if chosen.output.suffix != ".npz":
        raise UserError(f"output is {chosen.output}; expected the name of an .npz file")
    table = chosen.output.with_suffix(".csv")
    check_replaceable(chosen.output, _is_record, "a file of vri-pyro noise")
    check_replaceable(table, lambda path: first_line(path) == _COLUMNS, "a table of vri-pyro noise")
    arrays = chosen.data.load()
    if arrays.y_train_clean is not None or arrays.marks_trusted:
        raise UserError(
            "the data set has noisy labels of its own; use a data set whose training labels are true labels"
        )
    made = inject(chosen.noise, arrays, np.arange(len(arrays.y_train)), chosen.seed)
    write_npz(chosen.output, _record(made, arrays.classes, repr(chosen.noise), chosen.seed))
    write_atomically(table, _lines(made).encode())
    console = SafeConsole()
    console.print(
        f"{counted(len(made.labels), 'label')}, {made.rate:.2%} of them wrong (expected {made.nominal_rate:.2%})"
    )
    for path in (chosen.output, table):
        console.print(f"{path.absolute()}", soft_wrap=True)
    return 0


def _record(made: NoisyLabels, classes: tuple[str, ...], noise: str, seed: int) -> dict[str, np.ndarray]:
    record = {
        "index": np.arange(len(made.labels)),
        "given_labels": made.labels,
        "true_labels": made.true_labels,
        "transition": made.transition,
        "realised_transition": made.realised_transition,
        "classes": np.array(classes),
        "noise": np.array(noise),
        "seed": np.array(seed),
    }
    if made.replaced is not None:
        record |= {"replaced_indices": made.replaced.positions, "replaced_images": made.replaced.images}
    return record


def _is_record(path: Path) -> bool:
    return {"index", "given_labels", "true_labels", "realised_transition", "noise", "seed"} <= set(names_in(path))


def _lines(made: NoisyLabels) -> str:
    """Format index, given label, true label and whether they differ as CSV; a true label of -1 is no class."""
    rows = zip(made.labels.tolist(), made.true_labels.tolist(), made.flipped.tolist(), strict=True)
    lines = [f"{index},{given},{true},{int(wrong)}" for index, (given, true, wrong) in enumerate(rows)]
    return "\n".join([_COLUMNS, *lines, ""])

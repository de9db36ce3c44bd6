"""``vri-pyro relabel``: add corrected and confirmed labels to the trusted examples of a run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_new
from vri_pyro.utils.numbers import counted

if TYPE_CHECKING:
    from vri_pyro.data import Split
    from vri_pyro.training.run_folder import RunFolder


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Add labels that a person has corrected or confirmed to the trusted examples of a run. Write the "
        "new split, from which `vri-pyro fit --split.file` trains the next run. The data are not changed.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--corrections",
        type=Path,
        required=True,
        help="a .csv table with the columns index or path, and corrected or label, such as label_issues.csv with a new "
        "column; or a JSON export of Label Studio. The label (none) removes an example",
    )
    parser.add_argument("--output", type=Path, required=True, help="new .npz file for the split")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Read the corrections, write the new split and print how to train with it."""
    if options.output.suffix != ".npz":
        raise UserError(f"output is {options.output}; expected the name of an .npz file")
    check_new(options.output)
    # Lazy, because these imports take seconds.
    from vri_pyro.label_issues import read_corrections
    from vri_pyro.runs.run import Run

    trust = trusts(options.run, options.trust)
    trained = Run(options.run, device="cpu", trust=trust, data=data_places(options))
    split, before = trained.split, trained.examples.y.numpy()
    indices, labels = read_corrections(options.corrections, split, trained.classes, trained.examples)
    new = split.corrected(indices, labels)
    new.save(options.output)

    removed = labels < 0
    confirmed = ~removed & (labels == before[indices])
    changed = ~removed & ~confirmed
    told = f"{counted(int(changed.sum()), 'label')} changed, {confirmed.sum()} confirmed"
    told += f", {counted(int(removed.sum()), 'example')} removed"
    trusted = np.isin(indices, np.concatenate([split.clean_indices, split.validation_indices])).sum()
    console = SafeConsole(soft_wrap=True)
    console.print(f"{told}; {trusted} of them were trusted already" if trusted else told)
    for name in ("clean", "validation", "noisy"):
        console.print(f"{name} examples: {len(getattr(new, f'{name}_indices'))} ({_change(split, new, name)})")
    console.print(f"train the next run with: {_next(trained.folder, options.output, data_places(options))}")
    return 0


def _change(split: Split, new: Split, part: str) -> str:
    """Describe the change of the size of a part, such as "+12"."""
    return f"{len(getattr(new, f'{part}_indices')) - len(getattr(split, f'{part}_indices')):+d}"


def _next(run: RunFolder, split: Path, moved: Mapping[str, Path]) -> str:
    """Return the command that trains the next run, into a folder that does not exist."""
    stem, number = re.sub(r"_round\d+$", "", run.path.name), 2
    while (output := run.path.with_name(f"{stem}_round{number}")).exists():
        number += 1
    words = ["vri-pyro", "fit", "--config", run.config, "--split.file", split, "--output", output]
    words += [word for name, place in moved.items() for word in (f"--data.{name}", place)]
    if run.read_config().get("selection"):
        words += ["--selection", "null"]  # a selection replaces the clean set, and there is one now
    return shlex.join(map(str, words))

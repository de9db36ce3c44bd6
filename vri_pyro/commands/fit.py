"""``vri-pyro fit``: train a classifier on noisy labels and leave a run folder."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Column, Table

from vri_pyro.commands.catalogue import catalogue
from vri_pyro.configuration import build_experiment, experiment_parser, without
from vri_pyro.interruption import Interrupted

HELP = "train a classifier on noisy labels"
# Where and how a run is shown and stored does not make it another run.
PRESENTATION = ("config", "output", "resume", "quiet", "device", "threads", "workers")


def build_parser() -> ArgumentParser:
    """The command's parser."""
    return experiment_parser("Train a classifier on noisy labels and leave a run folder.", catalogue())


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Train, and show the result."""
    # In config.yaml the folder's path is absolute, so that it means the same folder from anywhere.
    kept = Namespace(**vars(without(options, ("config", "resume"))) | {"output": Path(options.output).absolute()})
    config = parser.dump(kept, skip_unset=False)
    identity = parser.dump(without(options, PRESENTATION), skip_unset=False, skip_validation=True)
    experiment = build_experiment(parser, options)
    try:
        summary = experiment.run(config, identity)
    except Interrupted:
        file = shlex.quote(str(experiment.folder.config))
        raise Interrupted(f"stopped and saved; go on with: vri-pyro fit --config {file} --resume true") from None
    if not options.quiet:
        _show(summary, experiment.folder.path)
    return 0


def _show(summary: dict[str, Any], folder: Path) -> None:
    results, split = summary["results"], summary["split"]
    table = Table("epoch", Column("test accuracy (%)", justify="right"))
    table.add_row("last", f"{results['last']:.2f}")
    table.add_row("mean of the last ten", f"{results['last_10']:.2f}")
    if results["chosen"] is not None:
        table.add_row(f"{results['chosen_epoch'] + 1}, chosen on validation", f"{results['chosen']:.2f}")
    console = Console()
    console.print(table)
    rate = split["realised_rate"]
    noise = "an unknown share" if math.isnan(rate) else f"{rate:.1%}"
    console.print(
        f"{split['noisy']} noisy labels, {noise} of them wrong; {split['clean']} clean labels", highlight=False
    )
    console.print(f"run folder: {folder.absolute()}", highlight=False, markup=False, soft_wrap=True)

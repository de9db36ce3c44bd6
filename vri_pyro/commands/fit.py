"""``vri-pyro fit``: train a classifier on noisy labels and leave a run folder."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Column, Table

from vri_pyro.commands.catalogue import catalogue
from vri_pyro.errors import UserError
from vri_pyro.experiment import Experiment
from vri_pyro.interruption import Interrupted

HELP = "train a classifier on noisy labels"
# The engine imports no model or guide; what runs when nothing is asked for is named here.
DEFAULTS: dict[str, Any] = {
    "method": {
        "class_path": "vri_pyro.methods.EstimatedBilevel",
        "init_args": {
            "model": {
                "class_path": "vri_pyro.models.HierarchicalRectification",
                "init_args": {
                    "prior": {"class_path": "vri_pyro.models.PriorNetwork", "init_args": {"hidden": [128, 64]}}
                },
            },
            "guide": {
                "class_path": "vri_pyro.guides.Hierarchical",
                "init_args": {
                    "vector": {"class_path": "vri_pyro.guides.DiagonalNormal", "init_args": {"hidden": [128, 64]}}
                },
            },
            "outer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
            "estimation": {"class_path": "vri_pyro.peers.NoisyCrossEntropy"},
            "clean_weight": 0.2,
        },
    },
    "data": {"class_path": "vri_pyro.data.Digits"},
    "noise": {"class_path": "vri_pyro.data.Flip", "init_args": {"rate": 0.4}},
    "backbone": {"class_path": "vri_pyro.backbones.SmallCNN"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05, "weight_decay": 5e-4}},
    "schedule": {"class_path": "vri_pyro.schedules.Constant"},
    "ema": 0.99,
}
# Where and how a run is shown and stored does not make it another run.
PRESENTATION = ("config", "output", "resume", "quiet", "device", "threads", "workers")


def experiment_parser(description: str) -> ArgumentParser:
    """A parser of everything that makes up an experiment."""
    parser = ArgumentParser(description=description, epilog=catalogue(), exit_on_error=False)
    parser.add_argument("--config", action="config", help="a YAML file; several are merged in their order")
    parser.add_class_arguments(Experiment)
    parser.set_defaults(DEFAULTS)
    return parser


def build_parser() -> ArgumentParser:
    """The command's parser."""
    return experiment_parser("Train a classifier on noisy labels and leave a run folder.")


def build_experiment(parser: ArgumentParser, options: Namespace) -> Experiment:
    """The experiment that parsed options describe.

    Raises:
        UserError: a part of it refuses its options.
    """
    try:
        return Experiment(**vars(without(parser.instantiate(options), ("config",))))
    except ValueError as error:
        raise _users_own(error) or error from None


def _users_own(error: BaseException | None) -> UserError | None:
    """The error that a part raised, which the parser wraps where the option may also be null."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


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


def without(options: Namespace, names: Sequence[str]) -> Namespace:
    """The options but for some."""
    return Namespace(**{name: value for name, value in vars(options).items() if name not in names})


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

"""The command line: ``vri-pyro fit``."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

import vri_pyro
from vri_pyro.errors import UserError
from vri_pyro.experiment import Experiment
from vri_pyro.interruption import Interrupted

# The engine imports no model or guide; what runs when nothing is asked for is named here.
DEFAULTS: dict[str, Any] = {
    "method": {
        "class_path": "vri_pyro.methods.Bilevel",
        "init_args": {
            "model": {"class_path": "vri_pyro.models.Rectification"},
            "guide": {"class_path": "vri_pyro.guides.DiagonalNormal"},
            "outer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
        },
    },
    "data": {"class_path": "vri_pyro.data.Digits"},
    "noise": {"class_path": "vri_pyro.data.Flip", "init_args": {"rate": 0.4}},
    "backbone": {"class_path": "vri_pyro.backbones.SmallCNN"},
    "optimizer": {
        "class_path": "torch.optim.SGD",
        "init_args": {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4},
    },
    "schedule": {"class_path": "vri_pyro.schedules.Cosine"},
}
# Where and how a run is shown and stored does not make it another run.
PRESENTATION = ("config", "output", "resume", "quiet", "device", "threads")


def build_parser() -> tuple[ArgumentParser, ArgumentParser]:
    """The parser of all commands, and that of ``fit``."""
    parser = ArgumentParser(prog="vri-pyro", description="Learning with noisy labels.", exit_on_error=False)
    parser.add_argument("--version", action="version", version=vri_pyro.__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    fit = ArgumentParser(description="Train a classifier on noisy labels and leave a run folder.", exit_on_error=False)
    fit.add_argument("--config", action="config", help="a YAML file; several are merged in their order")
    fit.add_class_arguments(Experiment)
    fit.set_defaults(DEFAULTS)
    parser.add_subcommands().add_subcommand("fit", fit, help="train a classifier on noisy labels")
    return parser, fit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 for bad input, 130 when interrupted, 1 otherwise."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # a user's own classes lie in the folder they work in
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        warnings.showwarning = lambda message, *_, **__: errors.print(f"warning: {message}")
        try:
            return _run(arguments)
        except Interrupted as stop:
            errors.print(str(stop))
            return 130
        except (UserError, ArgumentError) as error:
            if "--debug" in arguments:
                raise
            errors.print(f"error: {one_sentence(str(error))}")
            return 2
        except Exception as error:
            if "--debug" in arguments:
                raise
            errors.print(f"error: {type(error).__name__}: {one_sentence(str(error))} (--debug shows where)")
            return 1


def _run(arguments: Sequence[str]) -> int:
    parser, fit = build_parser()
    parsed = parser.parse_args(arguments)
    options = parsed.fit
    config = fit.dump(_without(options, ("config", "resume")), skip_none=False)
    identity = fit.dump(_without(options, PRESENTATION), skip_none=False, skip_validation=True)
    experiment = Experiment(**vars(_without(fit.instantiate(options), ("config",))))
    try:
        summary = experiment.run(config, identity)
    except Interrupted:
        raise Interrupted(
            f"stopped and saved; go on with: vri-pyro fit --config {experiment.folder.config} --resume true"
        ) from None
    if not options.quiet:
        _show(summary, experiment.folder.path)
    return 0


def _without(options: Namespace, names: Sequence[str]) -> Namespace:
    return Namespace(**{name: value for name, value in vars(options).items() if name not in names})


def _show(summary: dict[str, Any], folder: Path) -> None:
    table = Table(title="test accuracy (%)")
    results = summary["results"]
    for heading in ("last epoch", "mean of last 10", "chosen on validation", "noise realised", "clean labels"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{results['last']:.2f}",
        f"{results['last_10']:.2f}",
        "-" if results["chosen"] is None else f"{results['chosen']:.2f} (epoch {results['chosen_epoch'] + 1})",
        f"{summary['split']['realised_rate']:.1%}",
        str(summary["split"]["clean"]),
    )
    console = Console()
    console.print(table)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)


def one_sentence(message: str) -> str:
    """Condense jsonargparse's nested report of a bad option to the option's name and the innermost reason."""
    keys = re.findall(r'Parser key "([^"]+)"', message)
    reason = message.split("expects a function or a callable class:")[-1]
    reason = re.sub(r'Parser key "[^"]+":', "", reason)
    reason = re.sub(r"Problem with given class_path '[^']+':", "", reason)
    reason = re.sub(r"\.* Got value: .*", "", reason, flags=re.DOTALL) if "Namespace(" in reason else reason
    reason = re.sub(
        r"Does not validate against any of the Union subtypes.*?Errors:", "none of: ", reason, flags=re.DOTALL
    )
    reason = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", reason)
    reason = " ".join(reason.split())
    return f"--{'.'.join(keys)}: {reason}" if keys else reason


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``vri-pyro fit``."""

from __future__ import annotations

import math
import os
import shlex
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console
from rich.table import Column, Table

import vri_pyro
from vri_pyro.errors import UserError
from vri_pyro.experiment import Experiment
from vri_pyro.interruption import Interrupted
from vri_pyro.option_errors import one_sentence

# The engine imports no model or guide; what runs when nothing is asked for is named here.
DEFAULTS: dict[str, Any] = {
    "method": {
        "class_path": "vri_pyro.methods.Bilevel",
        "init_args": {
            "model": {
                "class_path": "vri_pyro.models.Rectification",
                "init_args": {
                    "prior": {"class_path": "vri_pyro.models.PriorNetwork", "init_args": {"hidden": [128, 64]}}
                },
            },
            "guide": {"class_path": "vri_pyro.guides.DiagonalNormal", "init_args": {"hidden": [128, 64]}},
            "outer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
        },
    },
    "data": {"class_path": "vri_pyro.data.Digits"},
    "noise": {"class_path": "vri_pyro.data.Flip", "init_args": {"rate": 0.4}},
    "backbone": {"class_path": "vri_pyro.backbones.SmallCNN"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05, "weight_decay": 5e-4}},
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
    debug = "--debug" in arguments
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # a user's own classes lie in the folder they work in
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with warnings.catch_warnings(), _quiet_threads(not debug):
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        warnings.showwarning = lambda message, *_, **__: errors.print(f"warning: {_one_line(message)}")
        try:
            return _run([argument for argument in arguments if argument != "--debug"])
        except (Interrupted, KeyboardInterrupt) as stop:
            errors.print(str(stop) or "stopped at once; what was saved before is intact")
            return 130
        except Exception as error:
            if debug:
                raise
            errors.print(f"error: {_explanation(error)}")
            return 2 if isinstance(error, UserError | ArgumentError) else 1


@contextmanager
def _quiet_threads(quiet: bool) -> Iterator[None]:
    """TensorBoard's thread hands its error to the main thread, which reports it; printing it as well is noise."""
    previous = threading.excepthook
    if quiet:
        threading.excepthook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook = previous


def _explanation(error: Exception) -> str:
    if isinstance(error, ArgumentError):
        return one_sentence(str(error))
    if isinstance(error, UserError):
        return _one_line(error)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)"


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _run(arguments: Sequence[str]) -> int:
    parser, fit = build_parser()
    parsed = parser.parse_args(arguments)
    options = parsed.fit
    # In config.yaml the folder's path is absolute, so that it means the same folder from anywhere.
    kept = Namespace(**vars(_without(options, ("config", "resume"))) | {"output": Path(options.output).absolute()})
    config = fit.dump(kept, skip_unset=False)
    identity = fit.dump(_without(options, PRESENTATION), skip_unset=False, skip_validation=True)
    experiment = Experiment(**vars(_without(fit.instantiate(options), ("config",))))
    try:
        summary = experiment.run(config, identity)
    except Interrupted:
        file = shlex.quote(str(experiment.folder.config))
        raise Interrupted(f"stopped and saved; go on with: vri-pyro fit --config {file} --resume true") from None
    if not options.quiet:
        _show(summary, experiment.folder.path)
    return 0


def _without(options: Namespace, names: Sequence[str]) -> Namespace:
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


if __name__ == "__main__":
    sys.exit(main())

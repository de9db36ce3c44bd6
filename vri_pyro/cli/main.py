"""The command line, ``vri-pyro``: parsing of arguments and reporting of errors."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console

import vri_pyro
from vri_pyro.cli.option_errors import one_sentence
from vri_pyro.cli.option_help import DESCRIBED, print_help
from vri_pyro.utils.deprecations import current_arguments, current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted

# Each command is a module of this package with build_parser() and run(parser, options), imported on demand.
COMMANDS = {
    "fit": "train a classifier on noisy labels",
    "sweep": "train with several seeds and all combinations of option values",
    "report": "write an HTML report on one run or a comparison of several runs",
    "issues": "rank the labels of a run by their probability of being wrong",
    "relabel": "add corrected labels to the trusted examples of a run",
    "diagnose": "diagnose the posterior of a run and export it for ArviZ",
    "data": "preview the data of a run: sizes, classes, noise and a picture",
    "noise": "inject label noise into a data set and write the labels to files",
}


def module_of(command: str) -> ModuleType:
    """Import and return the module of a command."""
    return import_module(f"vri_pyro.cli.{command}")


def build_parser(command: str) -> ArgumentParser:
    """Build the parser of the command line for one command."""
    parser = ArgumentParser(prog="vri-pyro", exit_on_error=False)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_subcommands().add_subcommand(command, module_of(command).build_parser())
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 for bad input, 130 when interrupted, 1 otherwise."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # to import the user's own classes from the working directory
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with warnings.catch_warnings(), _quiet_threads(not debug):
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        warnings.showwarning = lambda message, *_, **__: errors.print(f"warning: {_one_line(message)}")
        try:
            return _run([argument for argument in arguments if argument != "--debug"])
        except (Interrupted, KeyboardInterrupt) as stop:
            errors.print(str(stop) or "stopped immediately; files saved earlier are intact")
            return 130
        except Exception as error:
            if debug:
                raise
            errors.print(f"error: {_explanation(error, _command(arguments))}")
            return 2 if isinstance(error, UserError | ArgumentError) else 1


@contextmanager
def _quiet_threads(quiet: bool) -> Iterator[None]:
    """Suppress tracebacks of threads.

    TensorBoard's writer thread passes its errors to the main thread, which reports them.
    """
    previous = threading.excepthook
    if quiet:
        threading.excepthook = lambda _: None
    try:
        yield
    finally:
        threading.excepthook = previous


def _command(arguments: Sequence[str]) -> str:
    """Return the command among the arguments, for the remedy in an error message; "fit" if there is none."""
    return next((argument for argument in arguments if argument in COMMANDS), "fit")


def _explanation(error: Exception, command: str) -> str:
    if isinstance(error, ArgumentError):
        return one_sentence(str(error), command)
    if isinstance(error, UserError):
        return _one_line(error)
    return f"{type(error).__name__}: {_one_line(error)} (add --debug for the traceback)"


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _run(arguments: Sequence[str]) -> int:
    """Run the command in the arguments; help and version are printed without importing PyTorch."""
    first, *rest = arguments or [""]
    if first in ("-h", "--help"):
        _overview().print_help()
        return 0
    if first == "--version":
        print(vri_pyro.__version__)
        return 0
    if first not in COMMANDS:
        known = ", ".join(map(repr, COMMANDS))
        raise UserError(
            f"there is no command {first!r}; expected one of {known}"
            if first and not first.startswith("-")
            else f"the first argument must be a command; expected one of {known}"
        )
    if not {"-h", "--help"}.isdisjoint(rest) and first in DESCRIBED:
        print_help(first)
        return 0
    parsed = build_parser(first).parse_args(_with_current_files([first, *current_arguments(rest)]))
    module = module_of(first)
    return module.run(module.build_parser(), parsed[first])


def _overview() -> argparse.ArgumentParser:
    """Build the parser of ``vri-pyro --help``."""
    parser = argparse.ArgumentParser(prog="vri-pyro", description="Learning with noisy labels.")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line)
    return parser


def _with_current_files(arguments: Sequence[str]) -> list[str]:
    """Return the arguments; a ``--config`` file with deprecated names is replaced by its converted content."""
    found = []
    for before, argument in itertools.pairwise(["", *arguments]):
        if before == "--config":
            argument = _current_content(argument)
        elif argument.startswith("--config="):
            argument = f"--config={_current_content(argument.removeprefix('--config='))}"
        found.append(argument)
    return found


def _current_content(file: str) -> str:
    try:
        content = yaml.safe_load(Path(file).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return file  # the parser reports the error
    current = current_configuration(content)
    return file if current == content else yaml.safe_dump(current, sort_keys=False)

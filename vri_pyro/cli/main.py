"""The command line, ``vri-pyro``: parsing of arguments and reporting of errors."""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from jsonargparse import ArgumentError, ArgumentParser

import vri_pyro
from vri_pyro.cli.old_names import config_files, with_current_names
from vri_pyro.cli.option_errors import explained
from vri_pyro.cli.option_help import DESCRIBED, print_class_help, print_help
from vri_pyro.cli.trust import limited_imports
from vri_pyro.runs.trust import importing
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError, memory_error, out_of_memory, shortened
from vri_pyro.utils.interruption import STOPPED, Interrupted, StopRequest, ignore_stops, stops_raise
from vri_pyro.utils.processes import ProcessLost, is_first, may_tell, number_started, rank_started, started
from vri_pyro.utils.spelling import nearest

# Each command is a module of this package with build_parser() and run(parser, options), imported on demand.
COMMANDS = {
    "fit": "train a classifier on noisy labels",
    "embed": "extract the features of a data set with a pretrained network, for fits in seconds",
    "sweep": "train with several seeds and all combinations of option values",
    "predict": "predict the classes of new inputs with the classifier of a run",
    "export": "export the classifier of a run to ONNX, PyTorch or safetensors, with a model card",
    "report": "write an HTML report on one run or a comparison of several runs",
    "issues": "rank the labels of a run by their probability of being wrong",
    "check": "choose the labels that a person checks next, and take the answers back",
    "certify": "certify how many labels are wrong, from checked ones",
    "relabel": "add corrected labels to the trusted examples of a run",
    "diagnose": "diagnose the posterior of a run and export it for ArviZ",
    "data": "preview the data of a run: sizes, classes, noise and a picture",
    "noise": "inject label noise into a data set and write the labels to files",
}
# Errors of the operating system that a path explains.
_PATH_ERRORS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.EINVAL, errno.ENXIO),
)


def module_of(command: str) -> ModuleType:
    """Import and return the module of a command."""
    return import_module(f"vri_pyro.cli.{command}")


def build_parser(command: str) -> ArgumentParser:
    """Build the parser of a command.

    It is no subcommand of another parser, because jsonargparse would parse all options twice.
    """
    parser = module_of(command).build_parser()
    parser.prog = f"vri-pyro {command}"
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 2 for bad input, 1 for other errors.

    A command stopped by SIGINT returns 130, and by SIGTERM 143. Input that needs more memory than there is counts as
    bad input.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    errors = SafeConsole(stderr=True, soft_wrap=True)

    def show_warning(message: object, *_: object, **__: object) -> None:
        if is_first():
            errors.print(f"warning: {_one_line(message)}")

    with warnings.catch_warnings(), _quiet_threads(not debug), _safe_processes(), stops_raise() as request:
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        warnings.showwarning = show_warning
        try:
            with _processes(arguments) as taking_part:
                return _reported(arguments, errors, debug, request) if taking_part else 0
        except (ProcessLost, UserError) as error:  # the processes could not find each other
            if debug:
                raise
            errors.print(f"error: {error}")
            return 1


def _reported(arguments: Sequence[str], errors: SafeConsole, debug: bool, request: StopRequest) -> int:
    """Run the command, report its errors, once for all processes that train together, and return its status."""
    try:
        return _run([argument for argument in arguments if argument != "--debug"])
    except (Interrupted, KeyboardInterrupt) as stop:
        ignore_stops()
        if may_tell():
            errors.print(str(stop) or STOPPED)
        return getattr(stop, "status", 128 + signal.SIGINT)
    except Exception as error:
        if debug:
            raise
        if request.made:  # an import that was interrupted can end in any exception
            ignore_stops()
            if may_tell():
                errors.print(STOPPED)
            return 128 + request.number
        if isinstance(error, ProcessLost):
            ignore_stops()  # torchrun terminates the processes that remain, which end by themselves
        shown = _for_users(error)
        if may_tell():
            errors.print(f"error: {_as_typed(_explanation(shown, arguments), arguments)}")
        return 2 if isinstance(shown, UserError | ArgumentError) else 1


@contextmanager
def _processes(arguments: Sequence[str]) -> Iterator[bool]:
    """Join the processes that torchrun started, for ``fit``; yield whether this process runs the command.

    Any other command is run by the first process alone, as are the commands that it starts.
    """
    if number_started() == 1 or _command(arguments) != "fit":
        is_alone = number_started() == 1 or rank_started() == 0
        os.environ.pop("WORLD_SIZE", None)
        yield is_alone
        return
    with started():
        yield True


@contextmanager
def _safe_processes() -> Iterator[None]:
    """Keep the processes that are started, such as workers, from importing what lies in the working directory."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


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


def _for_users(error: Exception) -> Exception:
    """Return the error for users of an error whose cause is a path or the size of the input; others as they are."""
    if out_of_memory(error):
        return memory_error(error)
    if isinstance(error, OSError) and error.filename is not None and error.errno in _PATH_ERRORS:
        return UserError(f"{shortened(error.filename)} cannot be used: {error.strerror}; check the path")
    return error


def _as_typed(message: str, arguments: Sequence[str]) -> str:
    """Write the options in a message as the user did, with or without ``init_args``."""
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if ".init_args." in name and argument.startswith("--"):
            message = re.sub(rf"(?<![\w.]){re.escape(name.replace('.init_args', ''))}(?![\w.])", name, message)
    return message


def _check_not_empty(arguments: Sequence[str]) -> None:
    """Raise if an argument is empty; an empty path would stand for the working directory."""
    for before, argument in itertools.pairwise(["", *arguments]):
        name, _, value = argument.partition("=")
        empty = not argument or (argument.startswith("--") and "=" in argument and not value)
        option = name if argument else before
        if empty and option != "--url_prefix":
            raise UserError(
                f"{option} is empty; give it a value, or leave it out"
                if option.startswith("--")
                else "an argument is empty; give the path of a file or folder"
            )


def _command(arguments: Sequence[str]) -> str:
    """Return the command among the arguments, for the remedy in an error message; "fit" if there is none."""
    return next((argument for argument in arguments if argument in COMMANDS), "fit")


def _explanation(error: Exception, arguments: Sequence[str]) -> str:
    if isinstance(error, ArgumentError):
        if hasattr(error, "path"):  # the configuration of a run
            return explained(str(error), files=[error.path])
        files = [Path(file) for file in config_files(arguments).values()]
        return explained(str(error), _command(arguments), arguments, files)
    if isinstance(error, UserError | ProcessLost):
        return _one_line(error)
    if str(error).startswith("DataLoader worker"):  # a RuntimeError, which PyTorch raises between any two lines
        return (
            "a worker process that reads images was killed, often for lack of memory; set fewer --workers and repeat "
            "the command (fit: with --resume true; the last checkpoint is intact)"
        )
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
        if not first or first.startswith("-"):
            raise UserError(f"the first argument must be a command; expected one of {known}")
        near = nearest(first, COMMANDS)
        raise UserError(
            f"there is no command {first!r}; {f'did you mean {near!r}?' if near else f'expected one of {known}'}"
        )
    if first in DESCRIBED and (asked := [index for index, one in enumerate(rest) if one in ("-h", "--help")]):
        after = rest[asked[0] + 1 :]
        if after and not after[0].startswith("-"):
            print_class_help(first, after[0])
        else:
            print_help(first)
        return 0
    _check_not_empty(rest)
    with limited_imports(rest) if first in DESCRIBED else importing(trust=False):
        parser = build_parser(first)
        return int(module_of(first).run(parser, parser.parse_args(with_current_names(rest))))


def _overview() -> argparse.ArgumentParser:
    """Build the parser of ``vri-pyro --help``."""
    parser = argparse.ArgumentParser(prog="vri-pyro", description="Learning with noisy labels.")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line)
    return parser

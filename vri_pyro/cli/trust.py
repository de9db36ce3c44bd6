"""Which code a command may import: known classes, those typed on the command line, and what the user trusts."""

from __future__ import annotations

import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from vri_pyro.cli.old_names import config_files
from vri_pyro.runs.own_runs import is_own_run
from vri_pyro.runs.trust import UntrustedCode, importing, is_known, unknown_classes
from vri_pyro.utils.configurations import existing_file
from vri_pyro.utils.deprecations import DeprecatedNameWarning, current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.yaml_files import read_yaml

_HELP = "import and execute code that the configuration names although it is not part of vri_pyro"
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def add_trust_option(parser: ArgumentParser) -> None:
    """Add the option ``--trust`` to the parser of a command."""
    parser.add_argument("--trust", type=bool, default=False, help=_HELP)


def trusts(folder: Path, given: bool) -> bool:
    """Return whether a run folder is trusted: by the option ``--trust``, or because the user made the run here.

    If so, classes are also imported from the working directory.
    """
    if trusted := given or is_own_run(folder):
        import_from_here()
    return trusted


@contextmanager
def limited_imports(arguments: Sequence[str]) -> Iterator[None]:
    """Limit the imports of a command to known classes and those that the user typed on the command line.

    With ``--trust true`` there is no limit. The ``config.yaml`` of a run that the user made here counts as typed.

    Args:
        arguments: the command line.

    Raises:
        UntrustedCode: a configuration file names other code.
        UserError: a configuration file is empty.
    """
    allowed = {path for path in _typed_paths(arguments) if not is_known(path)}
    trusted = _says_trust(arguments)
    files = {file: Path(existing_file(file)) for file in config_files(arguments).values()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecatedNameWarning)  # shown when the file is parsed
        contents = {file: current_configuration(read_yaml(path)) for file, path in files.items()}
    if empty := [file for file, content in contents.items() if not content]:
        raise UserError(f"{empty[0]} sets no options; write some, as in the config.yaml of a run, or leave it out")
    for file, path in files.items():
        if path.name == "config.yaml" and is_own_run(path.parent):
            allowed |= {one for one in _paths_in(contents[file]) if not is_known(one)}
    for file, content in contents.items():
        if not trusted and (foreign := unknown_classes(content) - allowed):
            raise UntrustedCode(file, foreign)
    if trusted or allowed:
        import_from_here()
    with importing(trusted, " or ".join(["the command line", *reversed(files)][:2]), allowed):
        yield


def import_from_here() -> None:
    """Put the working directory at the end of the import path."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)


def _says_trust(arguments: Sequence[str]) -> bool:
    given = "=".join(arguments).lower().split("=")  # "--trust=true" and "--trust", "true" alike
    return ("--trust", "true") in itertools.pairwise(given)


def _typed_paths(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the class paths among the values of options, also those in inline YAML; not names of files."""
    option = ""
    for argument in arguments:
        value = argument
        if argument.startswith("--"):
            option, _, value = argument.partition("=")
        if value.startswith(("[", "{")) or "\n" in value:
            yield from _paths_in(_loaded(value))
        elif option == "--grid":
            yield from _paths_in(_loaded(f"[{value.partition('=')[2]}]"))
        elif option != "--config" and _PATH.fullmatch(value) and not os.path.lexists(value):
            yield value


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _paths_in(value: Any) -> Iterator[str]:
    """Yield the strings in nested options that may be import paths."""
    if isinstance(value, str) and _PATH.fullmatch(value):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _paths_in(one)

"""Conversion of deprecated names in command-line arguments and in the configuration files that they name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import yaml

from vri_pyro.utils.configurations import existing_file
from vri_pyro.utils.deprecations import classes_in, current_arguments, current_configuration
from vri_pyro.utils.yaml_files import read_yaml


def with_current_names(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with current class paths and option names; warn about each deprecated one.

    The name of an installed configuration is replaced by its path, and a ``--config`` file with deprecated names by its
    converted content.

    Raises:
        UserError: a ``--config`` file is unreadable or not valid YAML.
    """
    found = list(arguments)
    classes: dict[str, str] = {}
    for index, file in config_files(arguments).items():
        found[index] = arguments[index].removesuffix(file) + (path := existing_file(file))
        content = read_yaml(Path(path))
        current = current_configuration(content)
        classes |= classes_in(current)
        if current != content:
            found[index] = arguments[index].removesuffix(file) + yaml.safe_dump(current, sort_keys=False)
    return current_arguments(found, classes)


def config_files(arguments: Sequence[str]) -> dict[int, str]:
    """Return the values of ``--config``, except inline YAML, by the positions of the arguments that end with them."""
    found = {}
    for index, (before, argument) in enumerate(itertools.pairwise(["", *arguments])):
        if before == "--config" or argument.startswith("--config="):
            value = argument.removeprefix("--config=")
            if "\n" not in value and not value.startswith("{"):
                found[index] = value
    return found

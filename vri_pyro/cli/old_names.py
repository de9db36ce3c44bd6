"""Conversion of deprecated names in command-line arguments and in the configuration files that they name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vri_pyro.utils.deprecations import classes_in, current_arguments, current_configuration


def with_current_names(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with current class paths and option names; warn about each deprecated one.

    A ``--config`` file with deprecated names is replaced by its converted content.
    """
    found, classes = [], {}
    for before, argument in itertools.pairwise(["", *arguments]):
        if before == "--config" or argument.startswith("--config="):
            file = argument.removeprefix("--config=")
            content = _content(file)
            current = current_configuration(content)
            classes |= classes_in(current)
            if current != content:
                argument = argument.removesuffix(file) + yaml.safe_dump(current, sort_keys=False)
        found.append(argument)
    return current_arguments(found, classes)


def _content(file: str) -> Any:
    """Return the content of a YAML file; None if it is unreadable, which the parser reports."""
    try:
        return yaml.safe_load(Path(file).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None

"""The methods, sources, noises and other choices that a command may name, with a line on each, for its help."""

from __future__ import annotations

import inspect
import re
from argparse import RawDescriptionHelpFormatter
from types import ModuleType

from jsonargparse import DefaultHelpFormatter

import vri_pyro.data
import vri_pyro.methods
from vri_pyro.infer import schedules
from vri_pyro.training import selection

# Class paths of one's own are as good; these are what the package brings.
_KINDS: dict[str, tuple[type, list[ModuleType]]] = {
    "--method": (vri_pyro.methods.Method, [vri_pyro.methods]),
    "--data": (vri_pyro.data.Source, [vri_pyro.data]),
    "--noise": (vri_pyro.data.LabelNoise, [vri_pyro.data]),
    "--augmentation": (vri_pyro.data.Augmentation, [vri_pyro.data]),
    "--schedule": (schedules.Schedule, [schedules]),
    "--selection": (selection.Selection, [selection]),
}


class Catalogued(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """A help formatter that keeps the catalogue's lines."""


def catalogue() -> str:
    """Every class that comes with the package, by the option that takes it, with the first line of its docstring."""
    return "\n\n".join(f"{option} takes:\n" + "\n".join(_lines(*kind)) for option, kind in _KINDS.items())


def _lines(kind: type, packages: list[ModuleType]) -> list[str]:
    found = (named for package in packages for named in vars(package).items())
    classes = {
        name: item
        for name, item in found
        if inspect.isclass(item) and issubclass(item, kind) and not inspect.isabstract(item)
    }
    return [f"  {name:<22} {_first_line(item)}" for name, item in sorted(classes.items())]


def _first_line(item: type) -> str:
    line = (inspect.getdoc(item) or "").splitlines()[0]
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", line).replace("``", "")

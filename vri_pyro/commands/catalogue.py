"""The sources, noises, augmentations and other choices that a command may name, with a line on each, for its help."""

from __future__ import annotations

import inspect
import re
from argparse import RawDescriptionHelpFormatter

from jsonargparse import DefaultHelpFormatter

import vri_pyro.data
from vri_pyro import schedules, selection

# Class paths of one's own are as good; these are what the package brings.
_KINDS = {
    "--data": vri_pyro.data.Source,
    "--noise": vri_pyro.data.LabelNoise,
    "--augmentation": vri_pyro.data.Augmentation,
    "--schedule": schedules.Schedule,
    "--selection": selection.Selection,
}


class Catalogued(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """A help formatter that keeps the catalogue's lines."""


def catalogue() -> str:
    """Every class that comes with the package, by the option that takes it, with the first line of its docstring."""
    return "\n\n".join(f"{option} takes:\n" + "\n".join(_lines(kind)) for option, kind in _KINDS.items())


def _lines(kind: type) -> list[str]:
    found = {name: getattr(vri_pyro.data, name) for name in vri_pyro.data.__all__} | vars(schedules) | vars(selection)
    classes = {
        name: item
        for name, item in found.items()
        if inspect.isclass(item) and issubclass(item, kind) and not inspect.isabstract(item)
    }
    return [f"  {name:<22} {_first_line(item)}" for name, item in sorted(classes.items())]


def _first_line(item: type) -> str:
    line = (inspect.getdoc(item) or "").splitlines()[0]
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", line).replace("``", "")

"""The names that a misspelt option, class or choice may have meant."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

from vri_pyro.cli.catalogue import KINDS, choices
from vri_pyro.cli.class_options import class_options
from vri_pyro.utils.configurations import configuration_files
from vri_pyro.utils.spelling import nearest


def option_names(command: str) -> list[str]:
    """Return the names of a command's options, such as "split.file"; those of its classes are not included."""
    parser = import_module(f"vri_pyro.cli.{command}").build_parser()
    strings = (string for action in parser._actions for string in action.option_strings)
    return [string.removeprefix("--") for string in strings if string.startswith("--")]


def options_of_group(option: str) -> list[str]:
    """Return the options of an option of ``fit`` that is a group of them, such as "trunk.frozen" of "trunk"."""
    from vri_pyro.runs.configuration import Configuration

    kind = get_type_hints(Configuration).get(option)
    group = next((one for one in (kind, *get_args(kind)) if is_dataclass(one)), None)
    return [f"{option}.{field.name}" for field in fields(group)] if group else []


def nearest_option(name: str, command: str) -> str | None:
    """Return the option that is most similar to a name; its first part may be an option with options of its own.

    The name of a choice within an option, such as "hypergradient", is that option, ``method.hypergradient``.
    """
    names = option_names(command)
    first, _, rest = name.partition(".")
    firsts = {one.partition(".")[0] for one in names}
    for kind in KINDS.values():
        option = kind.option.removeprefix("--")
        if option.endswith(f".{name}") and option.partition(".")[0] in firsts:
            return option
    if not rest or first in firsts:
        return nearest(name, [one for one in names if not rest or one.startswith(f"{first}.")])
    near = nearest(first, firsts)
    return near and f"{near}.{rest}"


def nearest_argument(class_path: str, name: str) -> str | None:
    """Return the argument of a class, or of a class that it extends, whose name is most similar to a refused name."""
    first, dot, rest = name.partition(".")
    module, _, class_name = class_path.rpartition(".")
    ancestors = inspect.getmro(getattr(sys.modules[module], class_name))
    names = {one for ancestor in ancestors[:-1] for one in inspect.signature(ancestor).parameters}
    near = nearest(first, names - {first})
    return near and f"{near}{dot}{rest}"


def nearest_class(option: str, name: str) -> str | None:
    """Return the class that is most similar to a name, among those that an option can name.

    For a method, it may be a configuration, such as "--config vri".
    """
    last = _last(option)
    if "optimizer" in last:
        from torch import optim

        near = nearest(name, optim.__all__)
        return near and f"torch.optim.{near}"
    if near := nearest(name, named_classes(option) or [one for kind in KINDS for one in choices(kind)]):
        return near
    configuration = nearest(name, configuration_files()) if last == "method" else None
    return configuration and f"--config {configuration}"


def named_classes(option: str) -> list[str]:
    """Return the classes of the package that an option can name; none if it takes other ones."""
    kinds = [key for key, kind in KINDS.items() if _last(kind.option.removeprefix("--")) == _last(option)]
    return [one for kind in kinds for one in choices(kind)]


def _last(option: str) -> str:
    return option.rpartition(".")[2].removeprefix("clean_")


def classes_with(option: str, name: str) -> list[str]:
    """Return the classes that an option can name and that have an option of their own of this name."""
    kinds = [key for key, kind in KINDS.items() if kind.option == f"--{option}"]
    owners = ((kind, one) for kind in kinds for one in choices(kind))
    return [one for kind, one in owners if name in {found.name for found in class_options(kind, one)}]


def nearest_member(module: str, name: str) -> str | None:
    """Return the path of the class or submodule of a module whose name is most similar to a name."""
    found = sys.modules[module]
    names = {one.name for one in pkgutil.iter_modules(getattr(found, "__path__", []))}
    names |= {one.rpartition(".")[2] for one in sys.modules if one.rpartition(".")[0] == module}
    classes = {one for one in dir(found) if inspect.isclass(getattr(found, one, None))}
    near = nearest(name, classes) or nearest(name, names)
    return near and f"{module}.{near}"


def nearest_module(name: str) -> str | None:
    """Return the module that is most similar to a name: one of the working directory or one that is imported."""
    if "." in name:
        package, _, last = name.rpartition(".")
        return nearest_member(package, last) if package in sys.modules else nearest_module(package)
    return nearest(name, [*{path.stem for path in Path().glob("*.py")}, "vri_pyro", "torch"])


def nearest_choice(value: str, listed: str) -> str | None:
    """Return the choice that is most similar to a value.

    Args:
        value: the value.
        listed: the choices in quotes, such as "'auto', 'cpu'".
    """
    return nearest(value, re.findall(r"'([^']*)'", listed))

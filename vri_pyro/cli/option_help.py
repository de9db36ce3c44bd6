"""Help of the commands that configure an experiment, built from source files without importing PyTorch.

The parsers of these commands are built by ``jsonargparse`` from type hints, which requires importing all classes that
the options can name. The help needs only the names, defaults and descriptions of the options. This module parses them
from the source of the configuration classes.
"""

from __future__ import annotations

import argparse
import ast
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from vri_pyro.cli.catalogue import KINDS, catalogue, choices, class_definition, kinds_of, module_tree
from vri_pyro.cli.class_options import Option, class_options, descriptions, text_of
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.spelling import nearest


class Sources(NamedTuple):
    """Where the options of a command are defined.

    Attributes:
        modules: modules whose ``add_argument`` calls define options.
        configuration: module and name of the class whose fields are the other options.
        kinds: kinds of classes that the options can name, keys of :data:`~vri_pyro.cli.catalogue.KINDS`.
        defaults: defaults that differ from those of the configuration, as text.
    """

    modules: list[str]
    configuration: tuple[str, str]
    kinds: list[str]
    defaults: Mapping[str, str] = MappingProxyType({})


_CONFIGURATION = ("vri_pyro.runs.configuration", "Configuration")
#: the commands whose help this module prints
DESCRIBED = {
    "fit": Sources(["vri_pyro.runs.parsing"], _CONFIGURATION, list(KINDS)),
    "sweep": Sources(
        ["vri_pyro.runs.parsing", "vri_pyro.cli.sweep"],
        _CONFIGURATION,
        list(KINDS),
        {"output": "runs/sweep", "report": "false"},
    ),
    "embed": Sources(
        ["vri_pyro.cli.configured_parser", "vri_pyro.cli.embed"],
        ("vri_pyro.cli.embed", "Extraction"),
        ["data", "backbone"],
    ),
    "data": Sources(["vri_pyro.runs.parsing", "vri_pyro.cli.data"], _CONFIGURATION, list(KINDS)),
    "noise": Sources(
        ["vri_pyro.cli.configured_parser", "vri_pyro.cli.noise"],
        ("vri_pyro.cli.noise", "Injection"),
        ["data", "noise"],
        {"noise": "Flip"},
    ),
}
_CLASS_OPTIONS = {kind.option.removeprefix("--") for kind in KINDS.values()} | {"optimizer", "clean_augmentation"}
_WIDTH = 100
_CLASSES = """CLASS is the name of a class listed below, or the class path of your own class, such as
my_file.MyClass. Set the options of a class after it, as in --data ImageFolder --data.path photos. To
list the options of a class, add its name to --help: vri-pyro {command} --help ImageFolder. To print
the configuration as YAML, add --print_config."""


def options_of(command: str) -> list[Option]:
    """Return the options of a command in :data:`DESCRIBED`."""
    modules, configuration, _, defaults = DESCRIBED[command]
    found = [*(option for module in modules for option in _arguments(module)), *_fields(*configuration)]
    return [option._replace(default=defaults.get(option.name, option.default)) for option in found]


def print_help(command: str) -> None:
    """Print the help of a command in :data:`DESCRIBED`."""
    epilog = f"{_CLASSES.format(command=command)}\n\n{catalogue(DESCRIBED[command].kinds)}"
    parser = _parser(
        command, "[--config FILE] [--OPTION VALUE ...]", textwrap.fill(_description(command), _WIDTH), epilog
    )
    _add(parser, options_of(command))
    parser.print_help()


def print_class_help(command: str, name: str) -> None:
    """Print the options of a class that an option of the command can name.

    Raises:
        UserError: no class of that name is registered for the command.
    """
    kinds = [kind for kind in kinds_of(name) if kind in DESCRIBED[command].kinds]
    if not kinds:
        near = nearest(name, [one for kind in DESCRIBED[command].kinds for one in choices(kind)])
        remedy = f"did you mean {near}?" if near else f"`vri-pyro {command} --help` lists the classes"
        raise UserError(f"there is no class {name!r}; {remedy}")
    for kind in kinds:
        option = KINDS[kind].option
        parser = _parser(command, f"{option} {name} [{option}.OPTION VALUE ...]", choices(kind)[name])
        own = class_options(kind, name)
        _add(parser, [one._replace(name=f"{option.removeprefix('--')}.{one.name}") for one in own], "required")
        parser.print_help()


def _parser(command: str, usage: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage=f"vri-pyro {command} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=_WIDTH, max_help_position=30),
        add_help=epilog is not None,
    )


def _add(parser: argparse.ArgumentParser, options: Sequence[Option], without_default: str = "") -> None:
    """Add options to the help; ``without_default`` is said about those that have none."""
    for option in options:
        default = without_default if option.default is None else f"default: {option.default}"
        metavar = "CLASS" if option.name in _CLASS_OPTIONS else "VALUE"
        text = f"{option.description} ({default})" if default else option.description
        parser.add_argument(f"--{option.name}", metavar=metavar, help=text.replace("%", "%%"))


def _description(command: str) -> str:
    """Return the description of a command, which is the longest string in its ``build_parser``."""
    definition = next(
        node
        for node in module_tree(f"vri_pyro.cli.{command}").body
        if isinstance(node, ast.FunctionDef) and node.name == "build_parser"
    )
    texts = (node.value for node in ast.walk(definition) if isinstance(node, ast.Constant))
    return max((text for text in texts if isinstance(text, str)), key=len)


def _arguments(module: str) -> list[Option]:
    """Return the options that a module defines by ``add_argument`` calls."""
    found = []
    for node in ast.walk(module_tree(module)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            keywords = {word.arg: text_of(word.value) for word in node.keywords}
            name = text_of(node.args[0]).removeprefix("--")
            found.append(Option(name, keywords.get("help", ""), keywords.get("default")))
    return found


def _fields(module: str, name: str, group: str = "") -> list[Option]:
    """Return the fields of a configuration class; the fields of a nested class of the same module form a group."""
    definition = class_definition(module, name)
    docs = descriptions(definition)
    found = []
    for node in definition.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        field = node.target.id
        if isinstance(node.value, ast.Call) and not node.value.args and _is_defined(module, node.value.func):
            found += _fields(module, ast.unparse(node.value.func), f"{group}{field}.")
            continue
        default = _defaults().get(field) if not group else None
        if default is None and node.value is not None:
            default = text_of(node.value)
        found.append(Option(f"{group}{field}", docs[field], default))
    return found


def _is_defined(module: str, function: ast.expr) -> bool:
    names = {node.name for node in module_tree(module).body if isinstance(node, ast.ClassDef)}
    return isinstance(function, ast.Name) and function.id in names


@cache
def _defaults() -> dict[str, str]:
    """Return the defaults set in ``vri_pyro.runs.parsing``, with class names in place of class paths."""
    value = next(
        node.value
        for node in module_tree("vri_pyro.runs.parsing").body
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "DEFAULTS"
    )
    assert value is not None
    return {name: _short(default) for name, default in ast.literal_eval(value).items()}


def _short(default: Any) -> str:
    if isinstance(default, list):
        return ", ".join(map(_short, default))
    return default["class_path"].rpartition(".")[2] if isinstance(default, dict) else str(default)

"""Options of the classes that an option can name, parsed from source files without importing PyTorch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from docstring_parser import parse

from vri_pyro.cli.catalogue import KINDS, class_definition, defining_module, module_constant

# Arguments that the program provides, by kind.
_PROVIDED = {
    **dict.fromkeys(("model", "prior", "guide", "guide input"), ("feature_dim", "num_classes")),
    "backbone": ("input_shape", "num_classes"),
}


class Option(NamedTuple):
    """An option as shown in the help.

    Attributes:
        name: name without the leading dashes, with the name of its group if it has one, such as "split.file".
        description: description of the option.
        default: default value as text; None for a required option.
    """

    name: str
    description: str
    default: str | None = None


def class_options(kind: str, name: str) -> list[Option]:
    """Return the options of a registered class.

    Args:
        kind: a key of :data:`~vri_pyro.cli.catalogue.KINDS`.
        name: name of the class.
    """
    found = {option.name: option for option in _arguments(KINDS[kind].package, name)}
    return [option for name, option in found.items() if name not in _PROVIDED.get(kind, ())]


def descriptions(definition: ast.ClassDef) -> dict[str, str]:
    """Return the descriptions of the arguments or fields in the docstring of a class."""
    found: dict[str, str] = {}
    for one in parse(ast.get_docstring(definition) or "").params:
        text = " ".join((one.description or "").split()).rstrip(".").replace("``", "")
        found |= {name.strip(): text for name in one.arg_name.split(",")}
    return found


def text_of(node: ast.expr) -> str:
    """Format a default or a description as shown in the help."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path":
        node = node.args[0]
    if not isinstance(node, ast.Constant):
        return ast.unparse(node)
    if node.value is None or isinstance(node.value, bool):
        return {None: "null", True: "true", False: "false"}[node.value]
    return str(node.value)


def _arguments(module: str, name: str) -> Iterator[Option]:
    """Yield the arguments of a class's constructor; those of its base classes first if it passes them on."""
    if (module := defining_module(module, name)) == "":
        return
    definition = class_definition(module, name)
    described = descriptions(definition)
    constructor = next((one for one in definition.body if getattr(one, "name", "") == "__init__"), None)
    if not isinstance(constructor, ast.FunctionDef) or constructor.args.kwarg is not None:
        for base in definition.bases:
            yield from _arguments(module, ast.unparse(base))
    own = _parameters(constructor) if isinstance(constructor, ast.FunctionDef) else _fields(definition)
    for argument, default in own:
        text = None if default is None else text_of(module_constant(module, default))
        yield Option(argument, described.get(argument, ""), text)


def _parameters(constructor: ast.FunctionDef) -> Iterator[tuple[str, ast.expr | None]]:
    given = constructor.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    yield from ((one.arg, default) for one, default in list(zip(positional, defaults, strict=True))[1:])
    yield from ((one.arg, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True))


def _fields(definition: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the fields of a data class; of any other class, nothing."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list):
        return
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            yield ast.unparse(node.target), node.value

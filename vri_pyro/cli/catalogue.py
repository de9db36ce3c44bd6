"""Catalogue of the classes that an option can name, with the first lines of their docstrings.

The import of a class in the ``__init__`` of its package registers it. This module parses the source files instead of
importing them, so that ``vri-pyro fit --help`` does not import PyTorch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of class that an option can name.

    Attributes:
        option: the option, as on the command line.
        package: the package whose ``__init__`` registers the classes.
        base: name of the base class.
    """

    option: str
    package: str
    base: str


KINDS = {
    "method": Kind("--method", "vri_pyro.methods", "Method"),
    "model": Kind("--method.model", "vri_pyro.models", "Model"),
    "prior": Kind("--method.model.prior", "vri_pyro.models", "Prior"),
    "guide": Kind("--method.guide", "vri_pyro.guides", "Guide"),
    "guide input": Kind("--method.guide.inputs", "vri_pyro.guides", "Input"),
    "hypergradient": Kind("--method.hypergradient", "vri_pyro.infer", "Hypergradient"),
    "data": Kind("--data", "vri_pyro.data.sources", "Source"),
    "noise": Kind("--noise", "vri_pyro.data.noise", "LabelNoise"),
    "augmentation": Kind("--augmentation", "vri_pyro.data.augmentation", "Augmentation"),
    "backbone": Kind("--backbone", "vri_pyro.backbones", "Classifier"),
    "schedule": Kind("--schedule", "vri_pyro.infer", "Schedule"),
    "selection": Kind("--selection", "vri_pyro.training", "Selection"),
    "logger": Kind("--loggers", "vri_pyro.training.loggers", "Logger"),
}


def choices(kind: str) -> dict[str, str]:
    """Return the registered classes of a kind, as a dict from sorted class names to first lines of docstrings.

    Args:
        kind: a key of :data:`KINDS`.
    """
    _, package, base = KINDS[kind]
    registered = sorted(_imports(package).items())
    return {
        name: _first_line(class_definition(module, name)) for name, module in registered if _is_a(module, name, base)
    }


def kinds_of(name: str) -> list[str]:
    """Return the kinds in which a class of that name is registered."""
    return [kind for kind in KINDS if name in choices(kind)]


def catalogue(kinds: Iterable[str]) -> str:
    """Return the classes of some kinds as text, one line per class."""
    parts = []
    for kind in kinds:
        lines = [f"  {name:<26} {line}" for name, line in choices(kind).items()]
        parts.append("\n".join([f"Classes for {KINDS[kind].option}:", *lines]))
    return "\n\n".join(parts)


def _imports(package: str) -> dict[str, str]:
    """Return the names that a module imports, with the modules that they come from."""
    found: dict[str, str] = {}
    for node in module_tree(package).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: node.module for alias in node.names}
    return found


def _classes(module: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in module_tree(module).body if isinstance(node, ast.ClassDef)}


def class_definition(module: str, name: str) -> ast.ClassDef:
    """Return the definition of a class that a module defines or imports."""
    return found if (found := _classes(module).get(name)) else class_definition(_imports(module)[name], name)


def defining_module(module: str, name: str) -> str:
    """Return the module of ``vri_pyro`` that defines a class; empty for a class from elsewhere."""
    while name not in _classes(module):
        module = _imports(module).get(name, "")
        if not module.startswith("vri_pyro."):
            return ""
    return module


def module_constant(module: str, value: ast.expr) -> ast.expr:
    """Return the value of a constant that a module defines or imports from ``vri_pyro``; other values as they are."""
    if not isinstance(value, ast.Name):
        return value
    for node in module_tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value.id:
            return node.value
    where = _imports(module).get(value.id, "")
    return module_constant(where, value) if where.startswith("vri_pyro.") else value


def _is_a(module: str, name: str, base: str) -> bool:
    """Return whether ``name`` is a concrete subclass of ``base``."""
    found = _classes(module).get(name)
    return found is not None and not _is_abstract(found) and _descends(module, name, base)


def _descends(module: str, name: str, base: str) -> bool:
    """Return whether ``base`` is an ancestor of a class; only ancestors within ``vri_pyro`` are examined."""
    if name not in (classes := _classes(module)):
        where = _imports(module).get(name, "")
        return where.startswith("vri_pyro.") and _descends(where, name, base)
    above = [one.id for one in classes[name].bases if isinstance(one, ast.Name)]
    return base in above or any(_descends(module, one, base) for one in above)


def _is_abstract(definition: ast.ClassDef) -> bool:
    methods = (node for node in definition.body if isinstance(node, ast.FunctionDef))
    return any(ast.unparse(decorator) == "abstractmethod" for method in methods for decorator in method.decorator_list)


def _first_line(definition: ast.ClassDef) -> str:
    line = (ast.get_docstring(definition) or "").partition("\n")[0]
    return re.sub(r":\w+:`~?([\w.]+)`", r"\1", line).replace("``", "")


@cache
def module_tree(module: str) -> ast.Module:
    """Parse the source of a module of ``vri_pyro``, found without importing its parent packages."""
    top, folder, *below = module.split(".")
    spec = find_spec(f"{top}.{folder}")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]).joinpath(*below)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))

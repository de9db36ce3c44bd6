"""The fence ``{package}``, which documents the modules of a package.

Usage::

    ```{package} vri_pyro.infer
    ```

It is replaced, before the page is parsed, by a section for each module, with everything public that the module defines.
Names that a package exports in ``__all__`` are documented as users import them: ``vri_pyro.models.Rectification``, not
``vri_pyro.models.rectification.Rectification``. If there are such names, they come first, and the rest follows under a
heading of its own. Modules and names that begin with an underscore are left out.
"""

from __future__ import annotations

import ast
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

_FENCE = re.compile(r"^```\{package\} (\S+)\n```$", re.MULTILINE)
_LONGEST_VALUE = 80
_EXPORTED, _INSIDE = "## Public names", "## Other names, by module"


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Handler of ``source-read``: replace the fences of a page."""
    for name in _FENCE.findall(source[0]):
        for module in modules_of(import_module(name)):
            app.env.note_dependency(module.__file__ or "", docname=docname)
    source[0] = _FENCE.sub(lambda match: documentation(match[1]), source[0])


def documentation(package: str) -> str:
    """The documentation of a package, in Markdown."""
    exported: list[str] = []
    inside: list[str] = []
    for module in modules_of(import_module(package)):
        names = [(kind, name, public_path(module, name)) for kind, name in defined_names(module)]
        if any(path for _, _, path in names) and not callable(_in_package(module)):
            exported.append(_eval_rst(f".. py:module:: {module.__name__}"))
        exported += [_entry(kind, path, module, name) for kind, name, path in names if path]
        private = [(kind, name) for kind, name, path in names if path is None]
        if private:
            inside.append(_module_heading(module))
            inside += [_entry(kind, f"{module.__name__}.{name}", module, name) for kind, name in private]
    if exported and inside:
        return "\n".join([_EXPORTED, "", *exported, _INSIDE, "", *inside])
    return "\n".join(exported + [text.replace("### ", "## ", 1) for text in inside])


def modules_of(package: ModuleType) -> list[ModuleType]:
    """The public modules directly in a package."""
    found = pkgutil.iter_modules(package.__path__)
    names = sorted(item.name for item in found if not item.ispkg and not item.name.startswith("_"))
    return [import_module(f"{package.__name__}.{name}") for name in names]


def defined_names(module: ModuleType) -> list[tuple[str, str]]:
    """Kind (class, function or data) and name of everything public that a module defines, in its order."""
    found = []
    for node in ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name):
                found.append(("class", name))
            case ast.FunctionDef(name=name):
                found.append(("function", name))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.append(("data", name))
    return [(kind, name) for kind, name in found if not name.startswith("_")]


def public_path(module: ModuleType, name: str) -> str | None:
    """The path under which users import a name: of the highest package below ``vri_pyro`` that exports it."""
    parts = module.__name__.split(".")
    for length in range(2, len(parts)):
        package = import_module(".".join(parts[:length]))
        if name in getattr(package, "__all__", ()) and getattr(package, name) is getattr(module, name):
            return f"{package.__name__}.{name}"
    return None


def _module_heading(module: ModuleType) -> str:
    # The module may be declared above; or a function has its name, and it is then no target of references.
    declared = callable(_in_package(module)) or any(public_path(module, name) for _, name in defined_names(module))
    index = "   :no-index:\n" if declared else ""
    return f"### `{module.__name__}`\n\n" + _eval_rst(f".. automodule:: {module.__name__}\n   :no-members:\n{index}")


def _in_package(module: ModuleType) -> Any:
    package, _, name = module.__name__.rpartition(".")
    return getattr(import_module(package), name)


def _entry(kind: str, path: str, module: ModuleType, name: str) -> str:
    """The directive that documents a name."""
    if kind != "data":
        return _eval_rst(f".. auto{kind}:: {path}")
    value = repr(getattr(module, name))
    shown = f"   :value: {value}\n" if len(value) <= _LONGEST_VALUE and " at 0x" not in value else ""
    comment = ModuleAnalyzer.for_module(module.__name__).find_attr_docs().get(("", name), [])
    text = "\n".join(f"   {line}" for line in comment)
    return _eval_rst(f".. py:data:: {path}\n{shown}\n{text}")


def _eval_rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler."""
    app.connect("source-read", expand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

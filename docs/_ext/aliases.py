"""References by another name than the one under which an object is documented."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def resolve_alias(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Node | None:
    """Resolve a Python reference that no page documents under this name.

    A name from another project is renamed by ``reference_aliases``, for intersphinx to find. A name of this package is
    resolved to where its object is documented, if there is one such place:

    * ``vri_pyro.BilevelSVI`` by its full name, ``vri_pyro.infer.bilevel.BilevelSVI``;
    * ``UserError`` in any docstring, by its last part;
    * ``Arrays.listing``, an attribute in the docstring of its class, by the class.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if (alias := app.config.reference_aliases.get(target)) is not None:
        node["reftarget"], node["reftype"] = alias, "obj"  # a type alias is no class
        return None
    module, cls = node.get("py:module") or "", node.get("py:class") or ""
    for name in _names(env, target, module, cls):
        if (found := _documented(env, name, module)) is not None:
            domain = env.get_domain("py")
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, content)
    return None


def _names(env: BuildEnvironment, target: str, module: str, cls: str) -> Iterator[str]:
    yield target
    if target.startswith("vri_pyro.") and (full := defining_path(target)):
        yield full
        yield full.rpartition(".")[2]
    holder, _, attribute = target.rpartition(".")
    holder = holder or f"{module}.{cls}"
    if (documented := _documented(env, holder, module)) and has_attribute(documented, attribute):
        yield documented


def _documented(env: BuildEnvironment, name: str, module: str) -> str | None:
    """The one documented object of this name, in any module; those of the referring package come first."""
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    if name in objects:
        return name
    found = [full for full, entry in objects.items() if full.endswith(f".{name}") and not entry.aliased]
    near = [full for full in found if full.startswith(module)]
    for several in (near, found):
        if len(several) == 1:
            return several[0]
    return None


def defining_path(name: str) -> str | None:
    """``vri_pyro.infer.bilevel.BilevelSVI`` for ``vri_pyro.BilevelSVI``; None if there is no such object."""
    found = _object(name)
    where, qualname = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    return f"{where}.{qualname}" if where and qualname else None


def has_attribute(path: str, name: str) -> bool:
    """Whether the object at a path is a class that documents, annotates or sets an attribute."""
    found = _object(path)
    if not isinstance(found, type):
        return False
    annotated = any(name in vars(c) or name in vars(c).get("__annotations__", {}) for c in found.__mro__)
    return annotated or f"{name}:" in (found.__doc__ or "") or f"self.{name}" in inspect.getsource(found)


def _object(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler; it runs before that of intersphinx, which has priority 500."""
    app.add_config_value("reference_aliases", {}, "env", dict)
    app.connect("missing-reference", resolve_alias, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Small changes to Google docstrings before napoleon reads them.

* ``Returns:`` and ``Yields:`` describe values in prose; napoleon would take what is before a colon for a type.
* ``a, b: text`` in ``Args:`` and ``Attributes:`` describes two names at once, for which Sphinx has no field.
* ``num_classes: K.`` would make the letter a list item.
* The docstring of a property or constant is prose as well.
* An asterisk or a bar in a shape or formula would begin emphasis or a substitution.
* ``Reference: …`` becomes a field of its own.
* Private base classes are replaced by their public ones, and default factories by an ellipsis.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_PROSE = {"Returns:": "returns", "Yields:": "Yields"}
_LETTER = re.compile(r"^( +[*\w]+): (\w\.)(?=\s|$)")
_LITERAL = re.compile(r"(``.+?``|`[^`]+`_?_?)")
_STAR = re.compile(r"(?<![*\w])\*(?=\w+(?![\w*]))")
_SEVERAL = re.compile(r"^( +)([*\w]+(?:, [*\w]+)+): (.*)$")


def rewrite(lines: list[str]) -> list[str]:
    """The lines of a docstring with the sections above as fields."""
    found: list[str] = []
    rest = _escaped(lines)
    section = ""
    while rest:
        line = rest.pop(0)
        if re.match(r"^[A-Z]\w+:$", line):
            section = line
        if line in _PROSE:
            found += [
                "",
                *_field(_PROSE[line], _take(rest, lambda following: following.startswith(" ") or not following)),
            ]
        elif line.startswith(("Reference: ", "References: ")):
            name, _, text = line.partition(": ")
            found += ["", *_field(name, [text, *_take(rest, bool)])]
        elif section in ("Args:", "Attributes:") and (match := _SEVERAL.match(line)):
            indent, names, text = match.groups()
            more = _take(rest, lambda following, deeper=indent + " ": following.startswith(deeper))
            for name in names.split(", "):
                found += [_without_list(f"{indent}{name}: {text}"), *more]
        else:
            found.append(_without_list(line))
    return found


def _escaped(lines: list[str]) -> list[str]:
    """The lines with the asterisks and bars escaped that are no markup; literal blocks stay as they are."""
    found = []
    literal: int | None = None  # the indentation of the paragraph that a literal block belongs to
    for line in lines:
        indentation = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indentation <= literal:
            literal = None
        found.append(line if literal is not None else _escaped_line(line))
        if literal is None and line.rstrip().endswith("::"):
            literal = indentation
    return found


def _escaped_line(line: str) -> str:
    if line.lstrip().startswith(("|", "+-", "*", ">>>")):  # a table, a line block, a list or an example
        return line
    parts = _LITERAL.split(line)
    parts[::2] = [_STAR.sub(r"\\*", part).replace("|", r"\|") for part in parts[::2]]
    return "".join(parts)


def _without_list(line: str) -> str:
    return _LETTER.sub(r"\1: \\\2", line)


def _take(rest: list[str], wanted: Any) -> list[str]:
    """Remove the first lines that are wanted, and return them."""
    taken = []
    while rest and wanted(rest[0]):
        taken.append(rest.pop(0))
    return taken


def _field(name: str, body: list[str]) -> list[str]:
    """A field whose body keeps the indentation of its lines relative to the first."""
    first, *following = body
    depth = min((len(line) - len(line.lstrip()) for line in following if line.strip()), default=0)
    return [f":{name}: {first.strip()}", *("    " + line[depth:] if line.strip() else "" for line in following), ""]


class Docstrings:
    """Handlers of ``autodoc-process-docstring`` before and after napoleon's."""

    def __init__(self) -> None:
        self.prose: list[str] | None = None

    def before(self, app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """Rewrite; keep the docstring of an attribute."""
        lines[:] = rewrite(lines)
        self.prose = list(lines) if what in ("attribute", "data", "property") else None

    def after(self, app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """Put the docstring of an attribute back, where napoleon took its beginning for a type."""
        if self.prose is not None and any(line.startswith(":type:") for line in lines):
            lines[:] = self.prose


def process_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Handler of ``autodoc-process-signature``: Sphinx cannot parse the defaults of a data class's factories."""
    return (signature.replace("<factory>", "...") if signature else signature), returns


def process_bases(app: Sphinx, name: str, obj: type, options: Any, bases: list[type]) -> None:
    """Handler of ``autodoc-process-bases``."""
    bases[:] = list(dict.fromkeys(public for base in bases for public in _public(base)))


def _public(base: Any) -> list[Any]:
    if not getattr(base, "__name__", "").startswith("_"):
        return [base]
    return [public for above in base.__bases__ for public in _public(above) if public is not object]


def skip_requests(app: Sphinx, what: str, name: str, *_: Any) -> bool | None:
    """Leave out the methods that scikit-learn makes, whose docstrings refer to its own pages."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handlers."""
    handlers = Docstrings()
    app.connect("autodoc-process-docstring", handlers.before, priority=400)
    app.connect("autodoc-process-docstring", handlers.after, priority=600)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-process-bases", process_bases)
    app.connect("autodoc-skip-member", skip_requests)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

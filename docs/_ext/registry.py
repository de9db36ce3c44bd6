"""The directives ``registry``, a table of the classes that an option takes, and ``class_options``, of their options.

Usage::

    ```{registry} noise
    ```

    ```{class_options} noise
    ```

The kinds, the classes and their options are those that ``vri-pyro fit --help`` and ``vri-pyro fit --help CLASS`` list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vri_pyro.cli.catalogue import KINDS, choices
from vri_pyro.cli.class_options import class_options


class _Table(SphinxDirective):
    """A table about the classes of a kind."""

    required_arguments = 1
    final_argument_whitespace = True
    head: ClassVar[tuple[str, ...]]

    def run(self) -> list[nodes.Node]:
        """The parsed table."""
        kind = self.arguments[0]
        if kind not in KINDS:
            raise self.error(f"there is no kind '{kind}'; choose one of {', '.join(KINDS)}")
        rows = [self.head, ("---",) * len(self.head), *self.rows(kind)]
        return self.parse_text_to_nodes("\n".join(f"| {' | '.join(row)} |" for row in rows))

    def rows(self, kind: str) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row."""
        raise NotImplementedError


class Registry(_Table):
    """A table with a row for each class of a kind: the class and the first line of its docstring."""

    head = ("class", "what it does")

    def rows(self, kind: str) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row."""
        for name, line in choices(kind).items():
            yield _link(kind, name), _cell(line)


class ClassOptions(_Table):
    """A table with a row for each option of each class of a kind: its description and its default."""

    head = ("class", "option", "what it is", "default")

    def rows(self, kind: str) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row."""
        for name in choices(kind):
            for position, option in enumerate(class_options(kind, name)):
                default = "required" if option.default is None else f"`{option.default}`"
                shown = _link(kind, name) if position == 0 else ""
                yield shown, f"`{option.name}`", _cell(option.description), default


def _link(kind: str, name: str) -> str:
    return f"{{py:class}}`~{KINDS[kind].package}.{name}`"


def _cell(line: str) -> str:
    """Plain text in a cell of a Markdown table."""
    for character in r"\|*_`<$[":
        line = line.replace(character, f"\\{character}")
    return line


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("registry", Registry)
    app.add_directive("class_options", ClassOptions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

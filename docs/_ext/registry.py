"""The directive ``registry``, a table of the classes that an option takes.

Usage::

    ```{registry} noise
    ```

The kinds and the classes are those that ``vri-pyro fit --help`` lists.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vri_pyro.cli.catalogue import KINDS, choices


class Registry(SphinxDirective):
    """A table with a row for each class of a kind: the class and the first line of its docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The parsed table."""
        kind = self.arguments[0]
        if kind not in KINDS:
            raise self.error(f"there is no kind '{kind}'; choose one of {', '.join(KINDS)}")
        package = KINDS[kind].package
        rows = [f"| {{py:class}}`~{package}.{name}` | {_cell(line)} |" for name, line in choices(kind).items()]
        return self.parse_text_to_nodes("\n".join(["| class | what it does |", "|---|---|", *rows]))


def _cell(line: str) -> str:
    """Plain text in a cell of a Markdown table."""
    for character in r"\|*_`<$[":
        line = line.replace(character, f"\\{character}")
    return line


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("registry", Registry)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

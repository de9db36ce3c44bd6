"""Links from a page to files of the repository outside ``docs/``, such as ``../experiments/results/RESULTS.md``.

They work where the repository is browsed. In the built site a file becomes a download, and a folder plain text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def rewrite(text: str, page: Path, docs: Path) -> str:
    """The text of a page with the links out of ``docs/`` rewritten."""

    def replaced(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve()
        if target.is_relative_to(docs) or not target.exists():
            return match[0]
        return match[1] if target.is_dir() else f"[{match[1]}](path:{match[2]})"

    return _LINK.sub(replaced, text)


def source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Handler of ``source-read``."""
    source[0] = rewrite(source[0], Path(app.env.doc2path(docname)), Path(app.srcdir).resolve())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler."""
    app.connect("source-read", source_read)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

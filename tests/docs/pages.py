"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(page for page in DOCS.rglob("*.md") if not {"_build", "_ext"} & set(page.relative_to(DOCS).parts)),
]
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n\n?)?"
    r"(?P<fence>```+|:::+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# ([a-z_]+\.py)\n")
_SHELLS = ("", "bash", "sh", "shell", "console")
_WITHOUT_EFFECT = ("--help", "-h", "--print_config", "--debug", "--version")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path of the page.
        line: where the block begins.
        language: what follows the fence.
        text: the content.
        reason: why it is not run; None of one that is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def file(self) -> str | None:
        """The name of the file that a program is meant to be, by its first line."""
        return match[1] if (match := _FILE.match(self.text)) else None


@dataclass(frozen=True)
class Command:
    """A ``vri-pyro`` command: its name, and its arguments without those that only print."""

    page: Path
    name: str
    arguments: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("fence")) + 1,
            found["language"].strip(),
            found["text"],
            found["reason"],
        )
        for found in _BLOCK.finditer(text)
    ]


def programs(page: Path) -> list[Block]:
    """The Python blocks of a page that are to run, in order."""
    return [block for block in blocks(page) if block.language == "python" and block.reason is None]


def lines(page: Path) -> list[str]:
    """What a page tells its reader to type in a shell, without comments; continued lines are joined."""
    shells = (block.text for block in blocks(page) if block.language in _SHELLS and block.reason is None)
    typed = (line for text in shells for line in text.replace("\\\n", " ").splitlines())
    return [line.removeprefix("$ ").split(" #")[0].strip() for line in typed]


def commands(page: Path) -> list[Command]:
    """The ``vri-pyro`` commands that a page shows, in order."""
    found = []
    for line in lines(page):
        if line.startswith("vri-pyro "):
            words = [word for word in shlex.split(line.split(" > ")[0])[1:] if word not in _WITHOUT_EFFECT]
            if words:
                found.append(Command(page, words[0], tuple(words[1:])))
    return found


def without_blocks(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(page), flags=re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number, anchor = 0, kept
        while anchor in found:
            number += 1
            anchor = f"{kept}-{number}"
        found.add(anchor)
    return found


def name_of(page: Path) -> str:
    """A page's path in the repository, for the names of tests."""
    return page.relative_to(ROOT).as_posix()

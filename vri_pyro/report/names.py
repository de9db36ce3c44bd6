"""Names of classes and runs in figures: shortened, and restricted to the characters of the figure font."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from matplotlib.font_manager import findfont, get_font

from vri_pyro.report.svg import FONT


def drawable(names: Sequence[str], kind: str, room: int) -> list[str]:
    """Return names that can be drawn in a figure.

    Long names are abbreviated in the middle. Names with characters that the figure font lacks are replaced by a number.

    Args:
        names: names of classes or runs.
        kind: the noun for a replaced name, such as "class" in "class 7".
        room: largest number of characters of a name.

    Returns:
        one name for each of ``names``; different names stay different.
    """
    readable = [name if _in_font(name) else f"{kind} {number}" for number, name in enumerate(names)]
    for end in range(room):
        short = [_without_middle(" ".join(name.split()), end, room) for name in readable]
        if len(set(short)) == len(set(names)):
            return short
    return [_without_middle(f"{name} {number}", len(f" {number}"), room) for number, name in enumerate(readable)]


def key(names: Sequence[str], drawn: Sequence[str]) -> str:
    """Return a sentence for the caption that lists the names replaced by numbers; empty if none was replaced."""
    replaced = [f"{short} is {name}" for name, short in zip(names, drawn, strict=True) if not _in_font(name)]
    return (
        f" Names with characters that cannot be drawn are replaced by numbers: {', '.join(replaced)}."
        if replaced
        else ""
    )


def _without_middle(name: str, end: int, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1 - end].rstrip()}…{name[len(name) - end :]}"


def _in_font(name: str) -> bool:
    return name.strip() != "" and all(ord(letter) in _letters() or letter.isspace() for letter in name)


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())

"""Names in figures, which have less room and fewer letters than the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from matplotlib.font_manager import findfont, get_font

from vri_pyro.report.svg import FONT


def drawable(names: Sequence[str], kind: str, room: int) -> list[str]:
    """Names for a figure: long ones lose their middle, those with letters that its font lacks become numbers.

    Args:
        names: of classes or runs.
        kind: what has these names, for "class 7".
        room: characters a name may have.

    Returns:
        as many names, which differ where those given do.
    """
    told = [name if _in_font(name) else f"{kind} {number}" for number, name in enumerate(names)]
    for end in range(room):
        short = [_without_middle(" ".join(name.split()), end, room) for name in told]
        if len(set(short)) == len(set(names)):
            return short
    return [_without_middle(f"{name} {number}", len(f" {number}"), room) for number, name in enumerate(told)]


def key(names: Sequence[str], drawn: Sequence[str]) -> str:
    """Which names became numbers, as a further sentence for a caption; nothing where none did."""
    replaced = [f"{short} is {name}" for name, short in zip(names, drawn, strict=True) if not _in_font(name)]
    return (
        f" Letters of some names cannot be drawn, so numbers stand for them: {', '.join(replaced)}." if replaced else ""
    )


def _without_middle(name: str, end: int, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1 - end].rstrip()}…{name[len(name) - end :]}"


def _in_font(name: str) -> bool:
    return name.strip() != "" and all(ord(letter) in _letters() or letter.isspace() for letter in name)


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())

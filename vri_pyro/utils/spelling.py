"""The nearest known name of a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that is most similar to a word, regardless of case; None if no name is similar."""
    by_case = {name.lower(): name for name in names}
    found = get_close_matches(word.lower(), by_case, n=1)
    return by_case[found[0]] if found else None

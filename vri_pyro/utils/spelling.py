"""The nearest known name of a misspelt one, and names in files that are probably misspelt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from vri_pyro.utils.errors import UserError

_MISSPELT = 0.8  # similarity from which on a name is taken for a misspelt one


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that is most similar to a word, regardless of case; None if no name is similar."""
    by_case = {name.lower(): name for name in names}
    found = get_close_matches(word.lower(), by_case, n=1)
    return by_case[found[0]] if found else None


def check_spelling(place: str, names: Iterable[str], meant: Mapping[str, str], kind: str) -> None:
    """Raise if a name in a file is probably a misspelt one that the file lacks, and would be ignored.

    Args:
        place: the file, for messages.
        names: the names in the file.
        meant: the optional names by how they may be written, such as {"trusted": "clean_indices"}.
        kind: what the names are names of, such as "array".

    Raises:
        UserError: names both.
    """
    there = set(names)
    for name in sorted(there - set(meant.values())):
        found = get_close_matches(name.lower(), meant, n=1, cutoff=_MISSPELT)
        # Names such as "x_train_clean" and "verified_by" resemble known ones but are chosen on purpose.
        if not found or found[0][0] != name[0].lower() or name.startswith(f"{found[0]}_") or name in found[0]:
            continue
        if (right := meant[found[0]]) not in there:
            raise UserError(
                f"{place} has the {kind} {name!r}, which is not read; rename it to {right!r} if it is meant, and to "
                "something less similar otherwise"
            )

"""One attempt to break the package."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One attempt to break the package, with its outcome.

    Attributes:
        group: kind of attempt; the row of the table that counts it.
        name: what was done, so that it can be repeated.
        survived: whether the package behaved as documented.
        detail: what was seen, such as the error message. Required if the package did not survive.
    """

    group: str
    name: str
    survived: bool
    detail: str = ""

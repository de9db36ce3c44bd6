"""What a page is put together from: for each run the same parts, in the same order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Level = Literal["good", "fair", "poor", "note"]


class Verdict(NamedTuple):
    """A finding in a sentence.

    Attributes:
        level: good, fair or poor by thresholds that the sentence or its part states; a note takes no side.
        words: the sentence.
    """

    level: Level
    words: str


class Fact(NamedTuple):
    """A figure with its name, both as text."""

    name: str
    value: str


class Drawing(NamedTuple):
    """A drawing as inline SVG, with what it shows in words."""

    svg: str
    caption: str


class Suspect(NamedTuple):
    """An example whose label is probably wrong.

    Attributes:
        image: a data URI; None for inputs that are no images.
        name: of the input: its path, or its position in the training set.
        given, suggested: names of classes.
        score: the probability that the label is wrong, as text.
        true: name of the true class, where it is known.
    """

    image: str | None
    name: str
    given: str
    suggested: str
    score: str
    true: str | None


@dataclass(frozen=True)
class Part:
    """One part of a page, about one run.

    Attributes:
        title: the same for every run.
        about: what the part is, in a sentence or two; the same for every run.
        headline: the figures for the top of the page and for the comparison of runs.
        verdicts: findings in words.
        facts: further figures.
        drawings, suspects: pictures.
        notes: how these figures are to be read, in sentences.
        text: shown as it is, folded up.
    """

    title: str
    about: str = ""
    headline: list[Fact] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text: str = ""


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f}%"

"""Building blocks of the report: parts with verdicts, facts, drawings and suspects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Level = Literal["good", "fair", "poor", "note"]
CANNOT_TELL = "cannot tell"  # value of a tile whose estimate is unreliable


class Verdict(NamedTuple):
    """A finding, stated in a sentence or two.

    Attributes:
        level: "good", "fair" or "poor", by thresholds that the text or its section states; "note" for a finding
            without a rating.
        words: the text.
    """

    level: Level
    words: str


class Fact(NamedTuple):
    """A value with its name, both as text."""

    name: str
    value: str


class Tile(NamedTuple):
    """A value for the top of the page and for the comparison of runs.

    Attributes:
        name: what the value is.
        value: the value, or "cannot tell".
        note: what qualifies the value, in a few words.
    """

    name: str
    value: str
    note: str = ""


class Drawing(NamedTuple):
    """A drawing as inline SVG, with its caption."""

    svg: str
    caption: str


class Suspect(NamedTuple):
    """An example whose label is probably wrong.

    Attributes:
        image: the image as a data URI; None if the inputs are not images.
        name: path of the input, or its position in the training set.
        given, suggested: names of the given and of the suggested class.
        score: the probability that the label is wrong, as text.
        true: name of the true class; None if it is unknown.
    """

    image: str | None
    name: str
    given: str
    suggested: str
    score: str
    true: str | None


@dataclass(frozen=True)
class Part:
    """One section of the report for one run.

    Attributes:
        title: heading; the same for every run.
        about: introduction of a few sentences; the same for every run.
        headline: the values for the top of the page and for the comparison of runs.
        verdicts: findings for the top of the page.
        findings: findings for the top of the section.
        facts: further values.
        drawings: figures with captions.
        suspects: examples whose labels are probably wrong.
        notes: explanations of the values and figures.
        text: preformatted text, collapsed by default.
    """

    title: str
    about: str = ""
    headline: list[Tile] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[Verdict] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text: str = ""


def percent(value: float, digits: int = 1) -> str:
    """Format a share from 0 to 1 as a percentage."""
    return f"{100 * value:.{digits}f}%"

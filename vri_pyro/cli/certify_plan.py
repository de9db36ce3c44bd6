"""How many more labels to check until ``vri-pyro certify --at_most`` can show its statement."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from vri_pyro.utils.numbers import counted

if TYPE_CHECKING:
    from vri_pyro.certification import Certificate

_CONFIDENCE = 0.95  # the default of the command


@dataclass(frozen=True)
class Drawn:
    """The draws so far.

    Attributes:
        labels: number of labels that the certificate is about.
        drawn: number of labels drawn at random, answered or not.
        unanswered: number of those without an answer.
        free: number of labels that can still be drawn.
        sample: whether the draws are a sample of the user's own, which vri-pyro check does not extend.
    """

    labels: int
    drawn: int
    unanswered: int
    free: int
    sample: bool = False


def why_not_shown(certificate: Certificate) -> Iterator[str]:
    """Yield why this number of checks rarely shows the statement of a certificate, or none can."""
    from vri_pyro.certification import fewest_checks

    assert certificate.statement is not None
    rate, at_most, found = certificate.rate, certificate.statement.at_most, certificate.found
    if impossible(certificate):
        yield (
            f"{found} of the {counted(rate.labels, 'label')} are known to be wrong already "
            f"({found / rate.labels:.2%}), so that no number of checks can show it; choose a larger --at_most"
        )
        return
    fewest = fewest_checks(at_most, rate.labels, certificate.confidence, certificate.anytime)
    if rate.drawn < fewest:
        checks = counted(rate.drawn, "check is", "checks are")
        yield f"{checks} rarely enough: even if all are right, about {fewest} are needed"


def impossible(certificate: Certificate) -> bool:
    """Return whether more labels are known to be wrong than the statement allows."""
    assert certificate.statement is not None
    return certificate.found > certificate.statement.at_most * certificate.rate.labels + 1e-9


def plan(options: Namespace, drawn: Drawn, scores: float, estimate: float | None = None) -> Iterator[str]:
    """Yield how many labels to draw to show the statement, with the commands.

    The first plan is for a fixed number of checks. Once there are answers, more checks depend on them, so that only the
    anytime-valid intervals stay valid, and the plan is for these.

    Args:
        options: options of the command.
        drawn: the draws so far.
        scores: mean of the run's scores.
        estimate: estimate of the certificate; None before the first answer.
    """
    from vri_pyro.certification import checks_needed

    first = estimate is None
    rate, source = (
        (scores, "by the run's estimate, the share") if estimate is None else (estimate, "the estimated share")
    )
    if options.expected is not None:
        rate, source = options.expected, "the expected share"
    if round(rate * drawn.labels) / drawn.labels >= options.at_most:
        yield (
            f"{source} of wrong labels is {rate:.2%}, and no number of checks shows at most {options.at_most:.2%} "
            "unless fewer are wrong; choose a larger --at_most, or set --expected to the share that you expect"
        )
        return
    anytime = options.anytime or not first
    needed = checks_needed(options.at_most, rate, drawn.labels, options.confidence, anytime)
    yield (
        f"about {counted(needed, 'random check')} in all show that at most {options.at_most:.2%} of the "
        f"{counted(drawn.labels, 'label')} are wrong, with {options.confidence:.0%} confidence, in nine of ten cases "
        f"if {rate:.2%} are wrong"
    )
    if drawn.sample and not first:
        yield (
            "a sample of your own must not be enlarged after a look at its answers, because the order of its draws is "
            "not on record; for checks one after the other, use vri-pyro check, and --anytime true"
        )
        return
    yield from _steps(options, drawn, needed)
    if not first:
        yield (
            "checks that are added after a look at the answers are valid with --anytime true only, for which their "
            f"number is planned: {_again(options)}"
        )


def _steps(options: Namespace, drawn: Drawn, needed: int) -> Iterator[str]:
    """Yield what to do to get to the number of checks needed."""
    if drawn.unanswered:
        yield f"hand in the answers of {counted(drawn.unanswered, 'drawn label')} first"
    more = min(max(needed - drawn.drawn, 0 if drawn.unanswered else 1), drawn.free)
    if not more:
        if not drawn.free:
            yield "no label is left to draw"
        return
    number, so_far = ("them", "") if not drawn.drawn else (f"{more} more", f" ({drawn.drawn} are drawn)")
    folder = shlex.quote(str(options.run))
    yield f"draw {number} with: vri-pyro check {folder} --budget {more} --purpose measure{so_far}"


def _again(options: Namespace) -> str:
    """Return the command that certifies the statement at any time."""
    words = ["vri-pyro", "certify", options.run, "--at_most", options.at_most, "--anytime", "true"]
    words += [] if options.confidence == _CONFIDENCE else ["--confidence", options.confidence]
    return shlex.join(map(str, words))

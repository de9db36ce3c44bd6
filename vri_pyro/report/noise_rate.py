"""The estimated share of wrong labels, in a tile and in a sentence, or that it cannot be told."""

from __future__ import annotations

from vri_pyro.certification import equivalent_checks
from vri_pyro.label_issues import LabelIssues
from vri_pyro.label_issues.ranking import WIDEST
from vri_pyro.report.part import CANNOT_TELL, Tile, Verdict, percent
from vri_pyro.report.seen import SeenRun

_REASONS = {
    "unknown": "no clean labels were held out",
    "memorised": "the classifier has memorised labels",
    "chance": "the predictions are hardly above chance",
}
_FEW = 0.5  # share of the estimated wrong labels; fewer suspect labels need an explanation


def doubt(issues: LabelIssues) -> str | None:
    """Return in a few words why the noise rate cannot be told; None if it can.

    The rate can be told if :attr:`~vri_pyro.label_issues.LabelIssues.rate_problem` is None and the 95% interval is at
    most 20 percentage points wide.
    """
    if issues.rate_problem:
        return _REASONS[issues.rate_problem]
    low, high = issues.transition.noise_rate_interval()
    return "the interval is too wide" if high - low > WIDEST else None


def doubt_of_suspects(issues: LabelIssues) -> str | None:
    """Return in a few words why single labels cannot be judged; None if they can.

    A wide interval of the noise rate is no reason: a label may be clearly wrong even if the share of wrong ones is
    unknown.
    """
    return _REASONS[issues.problem] if issues.problem in ("memorised", "chance") else None


def noise_rate_tile(seen: SeenRun) -> Tile:
    """Return the tile with the estimated noise rate; its value is "cannot tell" if there is a :func:`doubt`."""
    why = doubt(seen.issues)
    low, high = seen.issues.transition.noise_rate_interval()
    interval = f"95% interval {percent(low)} to {percent(high)}"
    if not why:
        worth = equivalent_checks(low, high, len(seen.run.split.noisy_indices))
        interval += f", as narrow as checking {worth} labels by hand"
    parts = [why, interval, _truth(seen)]
    return Tile(
        "wrong labels",
        CANNOT_TELL if why else percent(_rate(seen)),
        "; ".join(part for part in parts if part),
    )


def suspects_tile(seen: SeenRun) -> Tile:
    """Return the tile with the number of suspect labels; its value is "cannot tell" if they are in doubt."""
    if why := doubt_of_suspects(seen.issues):
        return Tile("suspect labels", CANNOT_TELL, why)
    note = "more probably wrong than right"
    if len(seen.judged) < len(seen.run.split.noisy_indices):
        note += "; of a random sample"
    return Tile("suspect labels", f"{_suspects(seen)} of {len(seen.judged)}", note)


def noise_rate_verdict(seen: SeenRun) -> Verdict:
    """Say how many labels are wrong, and how many of them can be named; or why this cannot be told."""
    why, rate, suspects = doubt(seen.issues), _rate(seen), _suspects(seen)
    low, high = seen.issues.transition.noise_rate_interval()
    truth = f"; {known}" if (known := _truth(seen)) else ""
    interval = f"95% interval {percent(low)} to {percent(high)}{truth}"
    if why:
        wide = f"The 95% interval of the estimate is wider than {WIDEST * 100:.0f} percentage points."
        reason = (seen.issues.warning or wide) if seen.issues.rate_problem else wide
        advice = f" {seen.issues.advice}" if seen.issues.advice else ""
        words = (
            f"How many labels are wrong cannot be told. {reason} The estimate is {percent(rate)} ({interval}).{advice}"
        )
        return Verdict("poor", words)
    words = (
        f"An estimated {percent(rate)} of the noisy labels are wrong ({interval}). {suspects} of "
        f"{len(seen.judged)} are more probably wrong than right"
    )
    if suspects < _FEW * rate * len(seen.judged):
        words += ": most of the wrong labels cannot be identified one by one"
    return Verdict("note", f"{words}.")


def _rate(seen: SeenRun) -> float:
    return seen.issues.joint.noise_rate


def _suspects(seen: SeenRun) -> int:
    return int(seen.issues.flagged.sum())


def _truth(seen: SeenRun) -> str:
    return "" if seen.true_labels is None else f"true rate {percent(seen.wrong.mean())}"

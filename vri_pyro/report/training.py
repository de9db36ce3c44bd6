"""The part of a page about training: accuracies, and the curves behind them."""

from __future__ import annotations

from vri_pyro.report.figures import Curves, curves
from vri_pyro.report.part import Fact, Part, Verdict
from vri_pyro.report.seen import SeenRun
from vri_pyro.runs.results import evaluated_rows
from vri_pyro.training.loggers import Rows

_APART = 2.0  # points of accuracy that the last epoch and the chosen one may be apart


def training(seen: SeenRun) -> Part:
    """Accuracies under the three ways to choose an epoch that do not look at the test set, and how they came about."""
    found, rows = seen.results, seen.rows
    headline = [Fact(f"test accuracy, {_judged_epoch(seen) or 'last epoch'}", f"{found['last']:.1f}%")]
    if found["chosen"] is not None:
        headline.append(Fact("at the epoch chosen by validation", f"{found['chosen']:.1f}%"))
    facts = [
        Fact("mean of the last ten epochs", f"{found['last_10']:.1f}%"),
        Fact("epochs", str(len(rows))),
        Fact("validation examples", _validation(seen)),
        *([Fact("chosen epoch", str(int(found["chosen_epoch"]) + 1))] if found["chosen"] is not None else []),
    ]
    accuracies = {"test": "test_accuracy", "validation": "validation_accuracy"}
    losses = {"noisy batch": "loss", "clean batch, after the virtual step": "meta_loss"}
    starts = _starts(rows)
    drawings = [curves(of(rows, accuracies), "accuracy (%)", "Accuracy after each epoch.", starts)]
    if some := of(rows, losses):
        told = "Mean loss of each epoch's steps."
        if any(float(row.get("loss") or 0) < 0 for row in rows):
            told += " Below 0, agreement with earlier predictions outweighs the labels' loss."
        drawings.append(curves(some, "loss (nats)", told, starts))
    return Part(
        "Training",
        "The test set never chooses an epoch: the last one counts, or the one that is best on validation examples, "
        "which are held out of training.",
        headline,
        _verdicts(seen),
        facts,
        drawings,
    )


def _verdicts(seen: SeenRun) -> list[Verdict]:
    found, summary = seen.results, seen.summary
    when = _judged_epoch(seen) or "the last epoch"
    verdicts = [Verdict("note", f"After {when} {found['last']:.1f}% of the test set is classified rightly.")]
    if seen.run.state:
        verdicts.append(Verdict("fair", seen.run.state))
    if found["chosen"] is not None and abs(found["chosen"] - found["last"]) > _APART:
        verdicts.append(Verdict("fair", _apart(seen)))
    if summary.get("skipped"):
        verdicts.append(Verdict("poor", f"{summary['skipped']} updates were skipped because they were not finite."))
    if summary.get("structural_zeros"):
        names = ", ".join(summary["structural_zeros"])
        verdicts.append(Verdict("note", f"No hypergradient can reach {names} in this configuration."))
    return verdicts


def _apart(seen: SeenRun) -> str:
    """Which of the last epoch and the chosen one is the better, and what to do."""
    ahead, epoch = seen.results["chosen"] - seen.results["last"], int(seen.results["chosen_epoch"]) + 1
    chosen = f"epoch {epoch}, which validation chooses"
    if ahead > 0:
        return f"The last epoch is {ahead:.1f} points behind {chosen}: use the best checkpoint."
    count = len(seen.run.split.validation_indices)
    return (
        f"{chosen.capitalize()}, is {-ahead:.1f} points behind the last epoch: use the last checkpoint, or choose by "
        f"more than {count} validation examples."
    )


def _validation(seen: SeenRun) -> str:
    split = seen.run.split
    if not len(split.validation_indices):
        return "none"
    right = len(split.held_out) and split.verified
    return f"{len(split.validation_indices)}, {'clean' if right else 'of which some labels may be wrong'}"


def _judged_epoch(seen: SeenRun) -> str | None:
    """The last epoch that was evaluated, where others came after it: in a run that has not ended."""
    judged = 1 + max(evaluated_rows(seen.rows, seen.run.preparatory))
    return None if judged == len(seen.rows) else f"epoch {judged}"


def of(rows: Rows, metrics: dict[str, str]) -> Curves:
    """The metrics that were recorded as curves over epochs, which count from 1; by their names in the figure."""
    found = {
        name: ([row["epoch"] + 1 for row in rows if metric in row], [row[metric] for row in rows if metric in row])
        for name, metric in metrics.items()
    }
    return {name: curve for name, curve in found.items() if curve[0]}


def _starts(rows: Rows) -> dict[str, float]:
    """Where each phase begins; nothing for a single one."""
    starts: dict[str, float] = {}
    for row in rows:
        starts.setdefault(row["stage"], row["epoch"] + 0.5)
    return starts if len(starts) > 1 else {}

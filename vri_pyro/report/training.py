"""The report's section on training: accuracies, and curves of accuracies and losses."""

from __future__ import annotations

from vri_pyro.report.figures import Curves, curves
from vri_pyro.report.part import Fact, Part, Verdict
from vri_pyro.report.seen import SeenRun
from vri_pyro.runs.results import evaluated_rows
from vri_pyro.training.loggers import Rows

_APART = 2.0  # difference of test accuracies, in points, above which a verdict compares last and chosen epoch


def training(seen: SeenRun) -> Part:
    """Report the test accuracies of the last epoch, the last ten epochs and the epoch chosen by validation."""
    found, rows = seen.results, seen.rows
    headline = [Fact(f"test accuracy, {_judged_epoch(seen) or 'last epoch'}", f"{found['last']:.1f}%")]
    if found["chosen"] is not None:
        headline.append(Fact("test accuracy, best validation epoch", f"{found['chosen']:.1f}%"))
    facts = [
        Fact("mean test accuracy, last 10 epochs", f"{found['last_10']:.1f}%"),
        Fact("epochs", str(len(rows))),
        Fact("validation examples", _validation(seen)),
        *([Fact("best validation epoch", str(int(found["chosen_epoch"]) + 1))] if found["chosen"] is not None else []),
    ]
    accuracies = {"test": "test_accuracy", "validation": "validation_accuracy"}
    losses = {"noisy batch": "loss", "clean batch, after the virtual step": "meta_loss"}
    starts = _starts(rows)
    drawings = [curves(of(rows, accuracies), "accuracy (%)", "Accuracy after each epoch.", starts)]
    if some := of(rows, losses):
        caption = "Mean loss over the steps of each epoch."
        if any(float(row.get("loss") or 0) < 0 for row in rows):
            caption += (
                " The loss is below 0 where the reward for agreement with earlier predictions exceeds the loss of the "
                "labels."
            )
        drawings.append(curves(some, "loss (nats)", caption, starts))
    return Part(
        "Training",
        "The test set is never used to select an epoch. Accuracies are reported for the last epoch and for the epoch "
        "with the best accuracy on the validation examples, which are held out of training.",
        headline,
        _verdicts(seen),
        facts,
        drawings,
    )


def _verdicts(seen: SeenRun) -> list[Verdict]:
    found, summary = seen.results, seen.summary
    when = _judged_epoch(seen) or "the last epoch"
    verdicts = [Verdict("note", f"The test accuracy after {when} is {found['last']:.1f}%.")]
    if seen.run.state:
        verdicts.append(Verdict("fair", seen.run.state))
    if found["chosen"] is not None and abs(found["chosen"] - found["last"]) > _APART:
        verdicts.append(Verdict("fair", _apart(seen)))
    if summary.get("skipped"):
        verdicts.append(Verdict("poor", f"{summary['skipped']} updates were skipped because they were non-finite."))
    if summary.get("structural_zeros"):
        names = ", ".join(summary["structural_zeros"])
        verdicts.append(Verdict("note", f"In this configuration, no hypergradient reaches {names}."))
    return verdicts


def _apart(seen: SeenRun) -> str:
    """Compare the last epoch with the chosen one, and say which checkpoint to use."""
    ahead, epoch = seen.results["chosen"] - seen.results["last"], int(seen.results["chosen_epoch"]) + 1
    chosen = f"epoch {epoch}, the best on the validation set"
    if ahead > 0:
        return (
            f"The test accuracy of the last epoch is {ahead:.1f} points lower than that of {chosen}: use the best "
            "checkpoint."
        )
    count = len(seen.run.split.validation_indices)
    return (
        f"The test accuracy of {chosen}, is {-ahead:.1f} points lower than that of the last epoch: use the last "
        f"checkpoint, or select the epoch with more than {count} validation examples."
    )


def _validation(seen: SeenRun) -> str:
    split = seen.run.split
    if not len(split.validation_indices):
        return "none"
    clean = len(split.held_out) and split.verified
    return f"{len(split.validation_indices)} ({'clean labels' if clean else 'some labels may be wrong'})"


def _judged_epoch(seen: SeenRun) -> str | None:
    """Return "epoch N" for the last evaluated epoch; None if it is the last epoch of all."""
    judged = 1 + max(evaluated_rows(seen.rows, seen.run.preparatory))
    return None if judged == len(seen.rows) else f"epoch {judged}"


def of(rows: Rows, metrics: dict[str, str]) -> Curves:
    """Return metrics as curves over the epochs.

    Args:
        rows: the metrics, one row per epoch.
        metrics: name of the metric by name of the curve.

    Returns:
        the curves of the recorded metrics; epochs count from 1.
    """
    found = {
        name: ([row["epoch"] + 1 for row in rows if metric in row], [row[metric] for row in rows if metric in row])
        for name, metric in metrics.items()
    }
    return {name: curve for name, curve in found.items() if curve[0]}


def _starts(rows: Rows) -> dict[str, float]:
    """Return the position on the epoch axis at which each stage starts; empty for a single stage."""
    starts: dict[str, float] = {}
    for row in rows:
        starts.setdefault(row["stage"], row["epoch"] + 0.5)
    return starts if len(starts) > 1 else {}

"""The report's section on training: accuracies, and curves of accuracies and losses."""

from __future__ import annotations

from vri_pyro.report.figures import Curves, curves
from vri_pyro.report.part import CANNOT_TELL, Fact, Part, Tile, Verdict
from vri_pyro.report.seen import SeenRun
from vri_pyro.training.loggers import Rows

_APART = 2.0  # difference of test accuracies, in points, above which a verdict compares last and chosen epoch


def training(seen: SeenRun) -> Part:
    """Report the accuracies of the last epoch, the last ten epochs and the epoch chosen by validation."""
    found, rows = seen.results, seen.rows
    of_set = f"{seen.measured} accuracy"
    facts = [Fact("epochs", str(len(rows))), Fact("validation examples", _validation(seen))]
    if found:
        facts.insert(0, Fact(f"mean {of_set}, last 10 epochs", f"{found['last_10']:.1f}%"))
        if found["chosen_epoch"] is not None:
            facts.append(Fact("best validation epoch", str(int(found["chosen_epoch"]) + 1)))
    stages, borders = _stages(rows)
    accuracies = {"test": "test_accuracy", "validation": "validation_accuracy"}
    losses = {"noisy batch": "loss", "clean batch, after the virtual step": "meta_loss"}
    drawings = []
    if some := of(rows, accuracies):
        drawings.append(curves(some, "accuracy (%)", f"Accuracy after each epoch.{stages}", borders))
    if some := of(rows, losses):
        caption = f"Mean loss over the steps of each epoch.{stages}"
        if any(float(row.get("loss") or 0) < 0 for row in rows):
            caption += (
                " The loss is below 0 where the reward for agreement with earlier predictions exceeds the loss of the "
                "labels."
            )
        drawings.append(curves(some, "loss (nats)", caption, borders))
    about = (
        "The test set is never used to select an epoch. Accuracies are reported for the last epoch and for the epoch "
        "with the best accuracy on the validation examples, which are held out of training."
    )
    if seen.measured != "test":
        about = "The run has no test set. The validation examples are held out of training."
    return Part("Training", about, [_tile(seen)], _verdicts(seen), facts=facts, drawings=drawings)


def _tile(seen: SeenRun) -> Tile:
    found = seen.results
    if not found:
        return Tile("accuracy", CANNOT_TELL, "the run has neither test nor validation examples")
    judged = _judged_epoch(seen) or f"last epoch ({len(seen.rows)})"
    notes = [judged]
    if found["chosen"] not in (None, found["last"]):
        notes.append(f"{found['chosen']:.1f}% at epoch {int(found['chosen_epoch']) + 1}, best on the validation set")
    if seen.measured != "test":
        notes.append("no test set")
    return Tile(f"{seen.measured} accuracy", f"{found['last']:.1f}%", "; ".join(notes))


def _verdicts(seen: SeenRun) -> list[Verdict]:
    found, summary = seen.results, seen.summary
    verdicts = [Verdict("note", _accuracy(seen))]
    if seen.run.state:
        verdicts.append(Verdict("fair", seen.run.state))
    if found and found["chosen"] is not None and abs(found["chosen"] - found["last"]) > _APART:
        verdicts.append(Verdict("fair", _apart(seen)))
    if summary.get("skipped"):
        verdicts.append(Verdict("poor", f"{summary['skipped']} updates were skipped because they were non-finite."))
    if summary.get("structural_zeros"):
        names = ", ".join(summary["structural_zeros"])
        verdicts.append(Verdict("note", f"In this configuration, no hypergradient reaches {names}."))
    return verdicts


def _accuracy(seen: SeenRun) -> str:
    if not seen.results:
        return "The accuracy is unknown, because the run has neither test nor validation examples."
    when = _judged_epoch(seen) or "the last epoch"
    words = f"The {seen.measured} accuracy after {when} is {seen.results['last']:.1f}%."
    if seen.measured == "test":
        return words
    split = seen.run.split
    doubtful = "" if len(split.held_out) and split.verified else ", some of whose labels may be wrong"
    return f"{words} There is no test set; these are the {len(split.validation_indices)} validation examples{doubtful}."


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
    judged = max(number for number, row in enumerate(seen.rows, 1) if f"{seen.measured}_accuracy" in row)
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


def _stages(rows: Rows) -> tuple[str, list[float]]:
    """Return a sentence that names the stages, and their borders on the epoch axis; both are empty for one stage."""
    epochs: dict[str, list[int]] = {}
    for row in rows:
        epochs.setdefault(row["stage"], []).append(int(row["epoch"]) + 1)
    if len(epochs) < 2:
        return "", []
    named = ", ".join(f"{stage} (epochs {some[0]} to {some[-1]})" for stage, some in epochs.items())
    return f" Dotted lines separate the stages: {named}.", [some[0] - 0.5 for some in epochs.values()][1:]

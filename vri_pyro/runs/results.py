"""The results of a run: its test accuracy, under each way to choose an epoch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from vri_pyro.training.loggers import Rows
from vri_pyro.utils.errors import UserError


def evaluated_rows(rows: Rows, preparatory: Collection[str] = ()) -> dict[int, dict[str, Any]]:
    """The rows that a run is judged by, by their epochs; see :func:`results`."""
    evaluated = {epoch: row for epoch, row in enumerate(rows) if "test_accuracy" in row}
    if not evaluated:
        raise UserError("no epoch of this run has been evaluated yet; go on with it, or look again later")
    return {epoch: row for epoch, row in evaluated.items() if row.get("stage") not in preparatory} or evaluated


def results(rows: Rows, preparatory: Collection[str] = ()) -> dict[str, float | None]:
    """Test accuracy in percent under the three ways to choose an epoch that do not look at the test set.

    Args:
        rows: the metrics, a row an epoch, some of them evaluated.
        preparatory: phases that only prepare another, whose epochs do not count; they do while there are no others.

    Returns:
        ``last``; ``last_10``, the mean of those of the last ten epochs that were evaluated; ``chosen``, at the last
        epoch of the best validation accuracy (None without a validation set), with that epoch's number: few validation
        examples are soon all right, long before training is over.

    Raises:
        UserError: no epoch was evaluated yet.
    """
    evaluated = evaluated_rows(rows, preparatory)
    accuracies = {epoch: row["test_accuracy"] for epoch, row in evaluated.items()}
    found: dict[str, float | None] = {
        "last": accuracies[max(accuracies)],
        "last_10": float(np.mean([value for epoch, value in accuracies.items() if epoch >= len(rows) - 10])),
        "chosen": None,
        "chosen_epoch": None,
    }
    if "validation_accuracy" in evaluated[max(evaluated)]:
        best = max(evaluated, key=lambda epoch: (evaluated[epoch]["validation_accuracy"], epoch))
        found |= {"chosen": accuracies[best], "chosen_epoch": best}
    return found

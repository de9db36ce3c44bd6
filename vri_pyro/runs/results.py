"""Test accuracy of a run under different rules for choosing the epoch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from vri_pyro.training.loggers import Row, Rows
from vri_pyro.utils.errors import UserError


def evaluated_rows(rows: Rows, preparatory: Collection[str] = ()) -> dict[int, Row]:
    """Return the evaluated rows that the results are computed from, keyed by epoch.

    Args:
        rows: metrics, one row per epoch.
        preparatory: names of preparatory stages. Their rows are used only if no other row is evaluated.

    Raises:
        UserError: no epoch has been evaluated yet.
    """
    evaluated = {epoch: row for epoch, row in enumerate(rows) if "test_accuracy" in row}
    if not evaluated:
        raise UserError("no epoch of this run has been evaluated yet; resume the run, or try again later")
    return {epoch: row for epoch, row in evaluated.items() if row.get("stage") not in preparatory} or evaluated


def results(rows: Rows, preparatory: Collection[str] = ()) -> dict[str, float | None]:
    """Test accuracy in percent under three rules for choosing the epoch, none of which uses the test set.

    Args:
        rows: metrics, one row per epoch; not all epochs need to be evaluated.
        preparatory: names of preparatory stages. Their epochs are used only if no other epoch is evaluated.

    Returns:
        ``last``: accuracy of the last evaluated epoch. ``last_10``: mean over the evaluated epochs among the last ten.
        ``chosen``: accuracy of the epoch with the best validation accuracy, and ``chosen_epoch``: its number, from 0;
        both are None without a validation set. Ties go to the last epoch, since a small validation set is often
        classified without errors long before the end of training.

    Raises:
        UserError: no epoch has been evaluated yet.
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

"""Accuracy of a run under different rules for choosing the epoch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from vri_pyro.training.loggers import Row, Rows
from vri_pyro.utils.errors import UserError

#: results of a run with neither a test set nor a validation set
NOT_MEASURED: dict[str, Any] = dict.fromkeys(("measured_on", "last", "last_10", "chosen", "chosen_epoch"))
_EVALUATED = {"test": "test_accuracy", "validation": "validation_accuracy"}


def measured_on(rows: Rows) -> str | None:
    """Return the set that the accuracies of a run are measured on: "test", or "validation" without a test set.

    Returns None if the run has neither, or if no epoch has been evaluated yet.
    """
    return next((part for part, metric in _EVALUATED.items() if any(metric in row for row in rows)), None)


def evaluated_rows(rows: Rows, preparatory: Collection[str] = ()) -> dict[int, Row]:
    """Return the evaluated rows that the results are computed from, keyed by epoch.

    Args:
        rows: metrics, one row per epoch.
        preparatory: names of preparatory stages. Their rows are used only if no other row is evaluated.

    Raises:
        UserError: no epoch has been evaluated yet.
    """
    if (part := measured_on(rows)) is None:
        raise UserError("no epoch of this run has been evaluated yet; resume the run, or try again later")
    evaluated = {epoch: row for epoch, row in enumerate(rows) if _EVALUATED[part] in row}
    return {epoch: row for epoch, row in evaluated.items() if row.get("stage") not in preparatory} or evaluated


def results(rows: Rows, preparatory: Collection[str] = ()) -> dict[str, Any]:
    """Accuracy in percent under three rules for choosing the epoch, none of which uses the test set.

    Args:
        rows: metrics, one row per epoch; not all epochs need to be evaluated.
        preparatory: names of preparatory stages. Their epochs are used only if no other epoch is evaluated.

    Returns:
        ``measured_on``: the set that the accuracies are measured on, see :func:`measured_on`. ``last``: accuracy of the
        last evaluated epoch. ``last_10``: mean over the evaluated epochs among the last ten. ``chosen_epoch``: number
        of the epoch with the best validation accuracy, from 0, and ``chosen``: its test accuracy. Ties go to the last
        epoch, since a small validation set is often classified without errors long before the end of training.

        ``chosen_epoch`` is None without a validation set. ``chosen`` is None without a test set: the best of many
        validation accuracies is too high an estimate.

    Raises:
        UserError: no epoch has been evaluated yet.
    """
    evaluated, part = evaluated_rows(rows, preparatory), measured_on(rows)
    assert part is not None
    accuracies = {epoch: row[_EVALUATED[part]] for epoch, row in evaluated.items()}
    found: dict[str, Any] = NOT_MEASURED | {
        "measured_on": part,
        "last": accuracies[max(accuracies)],
        "last_10": float(np.mean([value for epoch, value in accuracies.items() if epoch >= len(rows) - 10])),
    }
    if "validation_accuracy" in evaluated[max(evaluated)]:
        best = max(evaluated, key=lambda epoch: (evaluated[epoch]["validation_accuracy"], epoch))
        found["chosen_epoch"] = best
        found["chosen"] = accuracies[best] if part == "test" else None
    return found

"""Markdown tables of the studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from study.records import Records
from study.statistics import spread


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table with a left-aligned first column and right-aligned other columns."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def by_method(records: Records, which: str = "last", columns: Mapping[str, str] | None = None) -> str:
    """Format test accuracies in percent, mean ± standard deviation over seeds, by method (rows) and setting (columns).

    Args:
        records: records to show.
        which: ``last``, ``last_10`` or ``chosen``.
        columns: settings to show, with their column heads; all settings when None.
    """
    columns = {setting: setting for setting in records.settings} if columns is None else columns
    rows = (
        [method, *(spread(records.accuracies(method, setting, which)) for setting in columns)]
        for method in records.methods
    )
    return markdown_table(["method", *columns.values()], rows)

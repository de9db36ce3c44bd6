"""Tables of the studies, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from study.records import Records
from study.statistics import spread


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is set to the left and whose others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def by_method(records: Records, which: str = "last", columns: Mapping[str, str] | None = None) -> str:
    """Test accuracy in percent, mean ± standard deviation over seeds: a row a method, a column a setting.

    Args:
        records: what to show.
        which: last, last_10 or chosen.
        columns: the settings to show, with their heads; all when None.
    """
    columns = {setting: setting for setting in records.settings} if columns is None else columns
    rows = (
        [method, *(spread(records.accuracies(method, setting, which)) for setting in columns)]
        for method in records.methods
    )
    return markdown_table(["method", *columns.values()], rows)

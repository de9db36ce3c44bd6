"""Progress on the console: of a run, a table with one row per epoch; on a terminal, also a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class _Column(NamedTuple):
    metric: str
    heading: str
    width: int
    form: str


# The total width fits a terminal of 80 columns.
_COLUMNS = (
    _Column("loss", "loss", 8, ".4g"),
    _Column("meta_loss", "meta loss", 10, ".4g"),
    _Column("kl", "KL", 8, ".3g"),
    _Column("validation_accuracy", "validation %", 13, ".2f"),
    _Column("test_accuracy", "test %", 8, ".2f"),
)


class ProgressDisplay:
    """Displays the metrics of each epoch and, on a terminal, a progress bar of the steps.

    Args:
        epochs: number of epochs of the run.
        steps: number of steps per epoch.
        console: the console to print to; a quiet console shows nothing.
    """

    def __init__(self, epochs: int, steps: int, console: Console) -> None:
        self.epochs, self.steps, self.console = epochs, steps, console
        self._stage: str | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=epochs * steps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: Any, traceback: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int) -> None:
        """Advance the progress bar after ``step`` of ``epoch``, both counted from 0."""
        done = epoch * self.steps + step + 1
        self._bar.update(self._task, description=f"epoch {epoch + 1}/{self.epochs}", completed=done)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Print the metrics of an epoch, below a header if it is the first epoch of a stage."""
        if row["stage"] != self._stage:
            self._stage = row["stage"]
            self._print(self._stage, [column.heading for column in _COLUMNS])
        self._print(f"{row['epoch'] + 1}/{self.epochs}", [_figure(row.get(c.metric), c.form) for c in _COLUMNS])

    def _print(self, label: str, cells: list[str]) -> None:
        line = "".join(f"{cell:>{column.width}}" for cell, column in zip(cells, _COLUMNS, strict=True))
        self.console.print(f"{label:<12}{line}", highlight=False, markup=False, soft_wrap=True)


def _figure(value: float | None, form: str) -> str:
    """Format a metric; a dash stands for a metric that the stage does not have."""
    return "-" if value is None else format(value, form)


@contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal while the context is open.

    Args:
        console: the console to print to.
        what: what is being done, such as "predicting".
        total: number of examples.

    Yields:
        a function that takes the number of examples done so far.
    """
    with Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)

"""What a person sees while a run goes on: a live bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SHOWN = ("loss", "meta_loss", "kl", "validation_accuracy", "test_accuracy")


class ProgressDisplay:
    """Shows epochs as they end and, on a terminal, steps as they pass.

    Args:
        epochs: epochs of the run.
        steps: steps an epoch.
        console: where to; nothing is shown on a quiet console.
    """

    def __init__(self, epochs: int, steps: int, console: Console) -> None:
        self.epochs, self.steps, self.console = epochs, steps, console
        self._bar = Progress(
            TextColumn("epoch {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: Any, traceback: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int) -> None:
        """Show that ``step`` of ``epoch`` (both from 0) is done."""
        self._bar.update(self._task, description=f"{epoch + 1}/{self.epochs}", completed=step + 1)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Show an epoch's metrics."""
        figures = "  ".join(f"{name} {row[name]:.4g}" for name in SHOWN if row.get(name) not in ("", None))
        self.console.print(f"epoch {row['epoch'] + 1:>3}/{self.epochs} {row['phase']}  {figures}", highlight=False)

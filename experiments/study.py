"""What the studies share: runs named by method and seed, done in parallel processes, resumable, and their tables."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from vri_pyro.cli import main

CONFIGS = Path(__file__).parent / "configs"
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Run:
    """One call of ``vri-pyro fit``.

    Attributes:
        row: the method's name in the table.
        column: the setting's name in the table.
        seed: the run's seed.
        options: further options of the command.
    """

    row: str
    column: str
    seed: int
    options: tuple[str, ...]

    def folder(self, root: Path) -> Path:
        """Where the run leaves its folder."""
        return root / self.column.replace(" ", "_") / self.row.replace(" ", "_") / f"seed{self.seed}"


def grid(methods: dict[str, Sequence[str]], settings: dict[str, Sequence[str]], seeds: Iterable[int]) -> list[Run]:
    """Every method in every setting with every seed; options of the method come after those of the setting."""
    return [
        Run(row, column, seed, (*setting, *method))
        for seed in seeds
        for column, setting in settings.items()
        for row, method in methods.items()
    ]


def run_all(runs: Sequence[Run], root: Path, jobs: int | None = None) -> dict[Run, dict[str, Any]]:
    """Do all runs, each in one thread, and return their summaries; what was done before is not done again.

    Args:
        runs: what to run.
        root: folder of the run folders.
        jobs: processes; one a processor when None.

    Raises:
        SystemExit: when a run fails, with its name; the others' results are kept.
    """
    console, done = Console(), 0
    found: dict[Run, dict[str, Any]] = {}
    # Spawned, because a forked child inherits PyTorch's threads in an undefined state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=context) as pool:
        waiting = {pool.submit(_run, run, root): run for run in runs}
        for future in as_completed(waiting):
            run, done = waiting[future], done + 1
            status, found[run] = future.result()
            if status:
                pool.shutdown(cancel_futures=True)
                sys.exit(f"{run.row} ({run.column}, seed {run.seed}) failed; its message is above")
            accuracy = found[run]["results"]["last"]
            console.print(
                f"{done:>3}/{len(runs)} {run.column}, seed {run.seed}: {run.row} {accuracy:.1f}", highlight=False
            )
    return {run: found[run] for run in runs}


def _run(run: Run, root: Path) -> tuple[int, dict[str, Any]]:
    folder = run.folder(root)
    fixed = ["--seed", str(run.seed), "--output", str(folder), "--resume", "true", "--threads", "1", "--quiet", "true"]
    # A finished run returns at once and one with other options is refused: no result is of another configuration.
    status = main(["fit", *run.options, *fixed])
    return status, {} if status else json.loads((folder / "summary.json").read_text())


def accuracies(found: dict[Run, dict[str, Any]], row: str, column: str, which: str = "last") -> list[float]:
    """A cell's test accuracies in percent, a seed each; ``which`` is last, last_10 or chosen."""
    return [summary["results"][which] for run, summary in found.items() if (run.row, run.column) == (row, column)]


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation; a dash where nothing was run."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "–"  # noqa: RUF001
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


def table(found: dict[Run, dict[str, Any]], title: str, which: str = "last") -> Table:
    """Rows of methods, columns of settings, mean ± standard deviation over seeds."""
    rows, columns = (list(dict.fromkeys(getattr(run, part) for run in found)) for part in ("row", "column"))
    result = Table(title=title, title_justify="left", min_width=len(title))
    result.add_column("method")
    for column in columns:
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(row, *(spread(accuracies(found, row, column, which)) for column in columns))
    return result


def markdown(found: dict[Run, dict[str, Any]], which: str = "last") -> str:
    """The same table in Markdown."""
    rows, columns = (list(dict.fromkeys(getattr(run, part) for run in found)) for part in ("row", "column"))
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [
        f"| {row} | " + " | ".join(spread(accuracies(found, row, column, which)) for column in columns) + " |"
        for row in rows
    ]
    return "\n".join(lines)


def provenance_lines(found: dict[Run, dict[str, Any]]) -> list[str]:
    """What made the results: commits of the runs, command, seeds, versions and hardware."""
    made_by = [summary["made_by"] for summary in found.values()]
    known = {name: sorted({one[name] for one in made_by if name in one}) for name in made_by[0]}
    seeds = sorted({run.seed for run in found})
    return [
        f"Command: `python {' '.join(sys.argv)}`; seeds {seeds}.",
        "Made by " + ", ".join(f"{name} {' and '.join(values)}" for name, values in known.items()) + ".",
    ]

"""Demonstration on digits: 40% of the labels flipped, three clean labels per class, three seeds."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from study import Store, Workshop, config, grid, run_all, runs_of, spread

from vri_pyro.utils.errors import UserError

METHODS = {
    "cross entropy": config("cross_entropy"),
    "clean-only": config("clean_only"),
    "fine-tuned": config("fine_tuned"),
    "VRI": config("vri"),
}
SETTING = "digits, flip 40%"


def main() -> int:
    """Run all methods and seeds and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes; default: all CPUs")
    parser.add_argument("--runs", type=Path, default=Path("runs/demo"), help="parent of the run folders")
    options = parser.parse_args()
    started = time.monotonic()
    runs = runs_of(grid({SETTING: config("digits", "--epochs", str(options.epochs))}, METHODS), options.seeds)
    store = Store(options.runs / "records.jsonl.gz")
    try:
        failed = run_all(runs, Workshop(store, options.runs, keep=True), options.jobs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    records = store.collect(runs)
    title = f"test accuracy (%) after the last epoch, mean ± sd, {len(options.seeds)} seeds"
    table = Table("method", Column(SETTING, justify="right"), title=title, title_justify="left", min_width=len(title))
    for method in records.methods:
        table.add_row(method, spread(records.accuracies(method, SETTING)))
    console = Console()
    console.print(table)
    seconds = time.monotonic() - started
    console.print(f"{seconds:.0f} s; the run folders are in {options.runs.resolve()}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

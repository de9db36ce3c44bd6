"""The demonstration: digits, 40% of the labels flipped, three trusted labels a class, three seeds."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from study import CONFIGS, grid, run_all, table

METHODS = {
    "cross entropy": ["--config", str(CONFIGS / "cross_entropy.yaml")],
    "clean-only": ["--config", str(CONFIGS / "clean_only.yaml")],
    "fine-tuned": ["--config", str(CONFIGS / "fine_tuned.yaml")],
    "VRI": ["--config", str(CONFIGS / "vri.yaml")],
}
SETTINGS = {"digits, flip 40%": ["--config", str(CONFIGS / "digits.yaml")]}


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/demo"), help="where the run folders go")
    options = parser.parse_args()
    settings = {name: [*setting, "--epochs", str(options.epochs)] for name, setting in SETTINGS.items()}
    started = time.monotonic()
    found = run_all(grid(METHODS, settings, options.seeds), options.runs)
    console = Console()
    seeds = f"{len(options.seeds)} seeds"
    console.print(table(found, f"test accuracy (%) after the last epoch, mean ± sd, {seeds}"))
    seconds = time.monotonic() - started
    console.print(f"{seconds:.0f} s; the run folders are in {options.runs.resolve()}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()

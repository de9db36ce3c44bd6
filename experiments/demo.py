"""The demonstration: digits, 40% of the labels flipped, three trusted labels a class, three seeds."""

from __future__ import annotations

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
    root, started = Path("runs/demo"), time.monotonic()
    found = run_all(grid(METHODS, SETTINGS, seeds=(0, 1, 2)), root)
    console = Console()
    console.print(table(found, "test accuracy (%) after the last epoch, mean ± sd of three seeds"))
    console.print(f"{time.monotonic() - started:.0f} s; the run folders are in {root.resolve()}", highlight=False)


if __name__ == "__main__":
    main()

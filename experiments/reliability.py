"""Try to break the package, and count what it survived.

The sections are the modules of ``experiments/campaign`` with a function ``trials(folder, quick)``. Finished sections
are kept in the output file and skipped when the campaign is run again. The exit status is 1 if an attempt succeeded in
breaking the package.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import multiprocessing
import pkgutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import campaign
import torch
from campaign.trial import Trial
from rich.console import Console
from rich.table import Table

from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results"
SECTIONS = sorted(
    module.name
    for module in pkgutil.iter_modules(campaign.__path__)
    if module.name != "trial" and not module.name.startswith("_")
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections, write the results and print the counts."""
    options = _options(arguments)
    finished = json.loads(gzip.decompress(options.output.read_bytes())) if options.output.exists() else {}
    for section in options.only:
        if section not in finished or options.again:
            # In a process of its own, because sections start servers of processes and change limits.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                finished[section] = process.submit(_run, section, options.quick).result()
            write_atomically(options.output, gzip.compress(json.dumps(finished).encode(), mtime=0))
    write_atomically(options.page, _page(finished).encode())
    _show(finished)
    return int(any(not trial["survived"] for record in finished.values() for trial in record["trials"]))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run")
    parser.add_argument("--quick", action="store_true", help="a few attempts of each kind")
    parser.add_argument("--again", action="store_true", help="run finished sections again")
    record = RESULTS / "reliability.json.gz"
    parser.add_argument("--output", type=Path, default=record, help="file of all attempts, JSON compressed by gzip")
    parser.add_argument("--page", type=Path, default=RESULTS / "reliability.md", help="page of the counts")
    return parser.parse_args(arguments)


def _run(section: str, quick: bool) -> dict[str, Any]:
    module = importlib.import_module(f"campaign.{section}")
    trials: list[Trial] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reliability") as folder:
        for trial in module.trials(Path(folder), quick):
            trials.append(trial)
            mark = "survived" if trial.survived else f"BROKEN: {trial.detail}"
            print(f"{section}: {trial.group}: {trial.name}: {mark}", flush=True)
    return {
        "title": (module.__doc__ or section).partition("\n")[0].rstrip("."),
        "seconds": round(time.monotonic() - began),
        "made_by": provenance(torch.device("cpu")),
        "trials": [asdict(trial) for trial in trials],
    }


def _counts(finished: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """Return title, group, number of attempts and number survived, in the order of the sections."""
    rows = []
    for section in sorted(finished):
        trials = finished[section]["trials"]
        for group in dict.fromkeys(trial["group"] for trial in trials):
            survived = [trial["survived"] for trial in trials if trial["group"] == group]
            rows.append((finished[section]["title"], group, len(survived), sum(survived)))
    return rows


def _page(finished: dict[str, Any]) -> str:
    rows = _counts(finished)
    lines = ["# Reliability", "", "Made by `python experiments/reliability.py`.", ""]
    lines += ["| section | attempts of the kind | tried | survived |", "|---|---|---:|---:|"]
    lines += [f"| {title} | {group} | {tried:,} | {survived:,} |" for title, group, tried, survived in rows]
    lines += [f"| **all** | | {sum(row[2] for row in rows):,} | {sum(row[3] for row in rows):,} |"]
    broken = [
        f"- {record['title']}, {trial['group']}, {trial['name']}: {trial['detail']}"
        for record in finished.values()
        for trial in record["trials"]
        if not trial["survived"]
    ]
    lines += ["", "## Not survived", "", *(broken or ["None."])]
    if "bug_reports" in finished:
        record = finished["bug_reports"]
        lines += ["", f"## {record['title']}", "", "| report | what happened here |", "|---|---|"]
        lines += [f"| {trial['name']} | {trial['detail']} |" for trial in record["trials"]]
    lines += ["", "## Made by", ""]
    for record in finished.values():
        made_by = ", ".join(f"{name} {value}" for name, value in record["made_by"].items())
        lines.append(f"- {record['title']}: {record['seconds']} s; {made_by}")
    return "\n".join(lines) + "\n"


def _show(finished: dict[str, Any]) -> None:
    table = Table("section", "attempts of the kind", "tried", "survived")
    for title, group, tried, survived in _counts(finished):
        table.add_row(title, group, f"{tried:,}", f"{survived:,}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

"""Command line of a study."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

from study.benches import SCALES, Bench
from study.execution import Workshop, run_all
from study.page import STYLE, Page
from study.records import Records, Store
from study.runs import Cell, runs_of
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Study:
    """Definition of a study: its runs and its report.

    Attributes:
        name: name of the script without its suffix.
        description: text for ``--help``.
        cells: function that returns the methods and settings to run on a bench.
        report: function that builds the page from the records of finished runs. It is called with the common
            matplotlib style.
        benches: benches by scale.
        seeds: default seeds.
        curves: metrics whose values at every epoch are stored.
        measure: function that computes further results from the folder of a finished run; None for no further results.
        workshop: class that executes the runs.
        script: script name and options for the command in the page; ``<name>.py`` when None.
    """

    name: str
    description: str
    cells: Callable[[Bench], Sequence[Cell]]
    report: Callable[[Records], Page]
    benches: Mapping[str, Sequence[Bench]] = field(default_factory=lambda: SCALES)
    seeds: Sequence[int] = (0, 1, 2)
    curves: Sequence[str] = ("test_accuracy",)
    measure: Callable[[RunFolder], dict[str, Any]] | None = None
    workshop: type[Workshop] = Workshop
    script: str | None = None

    def named(self, scale: str) -> str:
        """Return the base name of the result files; scales other than small are appended as a suffix."""
        return self.name if scale == "small" else f"{self.name}_{scale}"


def main(study: Study, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run the study; returns the exit status."""
    options = parser(study).parse_args(arguments)
    try:
        return _main(study, options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; repeat the same command to resume", file=sys.stderr)
        return 130


def parser(study: Study) -> argparse.ArgumentParser:
    """Return the parser of a study's command line."""
    made = argparse.ArgumentParser(
        prog=f"{study.name}.py", description=study.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--scale",
        choices=list(study.benches),
        default="small",
        help="small (default): minutes on two cores; paper: the paper's CIFAR-10 data and networks, for a GPU; "
        "paper100: the paper's CIFAR-100; tiny: synthetic images, for trying out the script",
    )
    made.add_argument("--seeds", type=int, nargs="+", default=list(study.seeds), metavar="SEED")
    made.add_argument(
        "--settings", nargs="+", metavar="NAME", help="run only these settings; use their names in the table"
    )
    made.add_argument(
        "--methods", nargs="+", metavar="NAME", help="run only these methods; use their names in the table"
    )
    made.add_argument("--jobs", type=int, default=1, help="number of worker processes with one thread each; default 1")
    made.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data")],
        metavar="FILE",
        help=".npz files, or folders that contain them",
    )
    made.add_argument(
        "--runs", type=Path, default=Path("runs"), help="working folder for run folders and pooled images"
    )
    made.add_argument(
        "--results", type=Path, default=RESULTS, help="folder for the page, the figure and the table of records"
    )
    made.add_argument("--keep", action="store_true", help="keep the run folders with their checkpoints in --runs")
    made.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    instead = made.add_mutually_exclusive_group()
    instead.add_argument(
        "--report-only", action="store_true", help="write page and figure from the finished runs without running more"
    )
    instead.add_argument(
        "--forget",
        action="store_true",
        help="delete the records of the selected runs (see --seeds, --settings, --methods) and exit; the next start "
        "of the study repeats these runs",
    )
    return made


def _main(study: Study, options: argparse.Namespace) -> int:
    name = study.named(options.scale)
    benches = [
        bench.prepared(options.data, (options.runs / "data").absolute()) for bench in study.benches[options.scale]
    ]
    cells = [bench.fitted(cell) for bench in benches for cell in study.cells(bench)]
    runs = runs_of(_chosen(cells, options.settings, options.methods), options.seeds)
    store = Store(options.results / "records" / f"{name}.jsonl.gz")
    if options.forget:
        print(f"deleted the records of {store.forget(runs)} runs in {store.file}")
        return 0
    failed = []
    if not options.report_only:
        workshop = study.workshop(
            store, options.runs / name, study.curves, study.measure, keep=options.keep, device=options.device
        )
        failed = run_all(runs, workshop, options.jobs)
    records = store.collect(runs)
    if not len(records):
        raise UserError(f"no run of {name} has finished, so there is nothing to report")
    with mpl.rc_context(STYLE):
        page = study.report(records)
    command = f"python experiments/{study.script or f'{study.name}.py'} --scale {options.scale}"
    print(page.write(options.results, name, records, f"{command} --seeds {' '.join(map(str, records.seeds))}"))
    for run in failed:
        print(f"failed: {run.name}; see the error message above", file=sys.stderr)
    return 1 if failed else 0


def _chosen(cells: Sequence[Cell], settings: Sequence[str] | None, methods: Sequence[str] | None) -> list[Cell]:
    for kind, asked in (("setting", settings), ("method", methods)):
        known = list(dict.fromkeys(getattr(cell, kind) for cell in cells))
        if unknown := [name for name in asked or () if name not in known]:
            raise UserError(f"unknown {kind} {', '.join(unknown)}; choose from: {', '.join(known)}")
    return [
        cell
        for cell in cells
        if cell.setting in (settings or [cell.setting]) and cell.method in (methods or [cell.method])
    ]
